import type { Host } from "../guest/guest.js";
import { FINGERPRINT_BYTES } from "../kernel/fingerprint.js";
import { createKernels, type Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import { zeroFingerprints } from "./fingerprints.js";
import type { MemoryLayout } from "./layout.js";

const WINDOW_BYTES = 1 << 20;

/**
 * Fingerprints what a host's memory really holds: it is read back after it was written. Only what was written since is read again, so that
 * little is left to do while the machine stands still.
 */
export class MemoryVerifier {
  /** The fingerprints as of the last {@link catchUp}. */
  readonly fingerprints: Uint8Array;
  readonly #host: Host;
  readonly #layout: MemoryLayout;
  readonly #kernels: Kernels;
  readonly #secret: Span;
  readonly #window: Span;
  readonly #windowFingerprints: Span;
  readonly #windowPages: number;
  /** Ranges written since the last time: first page and page count in turn. */
  #written: number[] = [];

  private constructor(host: Host, layout: MemoryLayout, kernels: Kernels, seed: string) {
    this.#host = host;
    this.#layout = layout;
    this.#kernels = kernels;
    this.#windowPages = WINDOW_BYTES / layout.pageBytes;
    this.#secret = kernels.fingerprint.secret(BigInt(`0x${seed}`));
    this.#window = kernels.arena.allocatePages(this.#windowPages, layout.pageBytes);
    this.#windowFingerprints = kernels.arena.allocate(this.#windowPages * FINGERPRINT_BYTES);
    this.fingerprints = new Uint8Array(layout.memoryPages * FINGERPRINT_BYTES);
  }

  /** A verifier of a prepared host, all of whose memory is still to be read where it is not known to be zero. */
  static async create(host: Host, layout: MemoryLayout, seed: string): Promise<MemoryVerifier> {
    const kernels = await createKernels();
    const verifier = new MemoryVerifier(host, layout, kernels, seed);
    if (host.isUntouched === true) {
      verifier.fingerprints.set(zeroFingerprints(kernels, seed, layout.pageBytes, layout.memoryPages));
      return verifier;
    }
    layout.split(0, layout.memoryPages, (firstPage, pageCount) => verifier.written(firstPage, pageCount));
    return verifier;
  }

  /** Pages of one region have been written. */
  written(firstPage: number, pageCount: number): void {
    const last = this.#written.length - 2;
    const lastEnd = (this.#written[last] ?? -1) + (this.#written[last + 1] ?? 0);
    if (lastEnd === firstPage && this.#layout.isSameRegion(lastEnd - 1, firstPage)) {
      this.#written[last + 1] = (this.#written[last + 1] as number) + pageCount;
    } else {
      this.#written.push(firstPage, pageCount);
    }
  }

  /** Reads everything that has been written since the last time. */
  catchUp(): void {
    const written = this.#written;
    this.#written = [];
    for (let range = 0; range < written.length; range += 2) {
      const end = (written[range] as number) + (written[range + 1] as number);
      for (let page = written[range] as number; page < end; page += this.#windowPages) {
        this.#read(page, Math.min(this.#windowPages, end - page));
      }
    }
  }

  #read(firstPage: number, pageCount: number): void {
    const { pageBytes } = this.#layout;
    const pages = this.#window.part(0, pageCount * pageBytes);
    this.#host.readPages(firstPage, pages.bytes);
    this.#kernels.fingerprint.pages(pages, pageBytes, this.#secret, this.#windowFingerprints);
    const fingerprints = this.#windowFingerprints.bytes.subarray(0, pageCount * FINGERPRINT_BYTES);
    this.fingerprints.set(fingerprints, firstPage * FINGERPRINT_BYTES);
  }
}
