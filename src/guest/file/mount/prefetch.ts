import { freemem } from "node:os";
import type { FuseFile } from "../../fuse/file.js";
import type { FuseRead } from "../../fuse/session.js";
import type { MountSource } from "./source.js";

/** So much is given to the kernel at once: others get their turn between. */
const CHUNK_BYTES = 256 << 10;
/** Of the memory that is free, the kernel is given at most so much; it may throw it away again. */
const MOST_SHARE = 0.25;

/** Gives the kernel what nobody has asked for yet: to read it asks for nothing then. */
export class Prefetch {
  readonly #chunks: number;
  /** Of each chunk whether the kernel has been given it. */
  readonly #given: Uint8Array;
  #isEnded = false;

  constructor(byteLength: number) {
    this.#chunks = Math.floor(byteLength / CHUNK_BYTES);
    this.#given = new Uint8Array(this.#chunks);
  }

  /** The kernel is given this by itself. */
  asked({ offset, byteLength }: FuseRead): void {
    const end = Math.floor((offset + byteLength) / CHUNK_BYTES);
    for (let chunk = Math.ceil(offset / CHUNK_BYTES); chunk < end; chunk++) this.#given[chunk] = 1;
  }

  /** Goes from the end to the beginning: whoever reads on from there is not read to twice. */
  async run(file: FuseFile, source: MountSource): Promise<void> {
    let left = freemem() * MOST_SHARE;
    for (let chunk = this.#chunks - 1; chunk >= 0 && left > 0 && !this.#isEnded; chunk--) {
      if (this.#given[chunk] === 1) continue;
      const bytes = await readChunk(source, chunk * CHUNK_BYTES);
      // What is damaged is told to whoever touches it.
      if (bytes === undefined) continue;
      await file.store(chunk * CHUNK_BYTES, bytes);
      left -= CHUNK_BYTES;
    }
  }

  end(): void {
    this.#isEnded = true;
  }
}

function readChunk(source: MountSource, offset: number): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    source.read({
      offset,
      byteLength: CHUNK_BYTES,
      answer: (...pieces) => resolve(Buffer.concat(pieces)),
      fail: () => resolve(undefined),
    });
  });
}
