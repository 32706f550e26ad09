import { hasBit } from "../kernel/bitmap.js";
import type { DedupTable } from "../kernel/dedup.js";
import { FINGERPRINT_BYTES } from "../kernel/fingerprint.js";
import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import type { PageCache } from "./cache.js";

const FINGERPRINT_WORDS = FINGERPRINT_BYTES / 4;

/**
 * Finds pages whose content the cache holds under another number. It names just what the cache holds: a fingerprint goes when its page is
 * displaced. Fingerprints only find candidates; the bytes are compared.
 */
export class DuplicateFinder {
  readonly #kernels: Kernels;
  readonly #cache: PageCache;
  readonly #pageBytes: number;
  readonly #secret: Span;
  readonly #table: DedupTable;
  /** The fingerprint of what each slot holds. */
  readonly #slotFingerprints: Span;
  readonly #fingerprints: Span;
  readonly #numbers: Span;
  readonly #left: Span;
  readonly #right: Span;
  readonly #equal: Span;

  /** For chunks of at most `chunkPages` pages. */
  constructor(kernels: Kernels, cache: PageCache, pageBytes: number, chunkPages: number) {
    const { arena } = kernels;
    this.#kernels = kernels;
    this.#cache = cache;
    this.#pageBytes = pageBytes;
    this.#secret = kernels.fingerprint.secret(crypto.getRandomValues(new BigUint64Array(1))[0] as bigint);
    this.#table = kernels.dedup.table(cache.slots);
    this.#slotFingerprints = arena.allocate(cache.slots * FINGERPRINT_BYTES);
    this.#fingerprints = arena.allocate(chunkPages * FINGERPRINT_BYTES);
    this.#numbers = arena.allocate(chunkPages * 4);
    this.#left = arena.allocate(chunkPages * 4);
    this.#right = arena.allocate(chunkPages * 4);
    this.#equal = arena.allocateBitmap(chunkPages);
  }

  /** The cache is about to lose or change the first `count` of `slots`, all of them taken: takes out what is entered for them. */
  remove(slots: Uint32Array, count: number): void {
    const numbers = this.#numbers.u32;
    const from = this.#slotFingerprints.u32;
    const to = this.#fingerprints.u32;
    for (let at = 0; at < count; at++) {
      const slot = slots[at] as number;
      numbers[at] = this.#cache.ownerOf(slot);
      copyFingerprint(from, slot, to, at);
    }
    this.#table.remove(this.#fingerprints, this.#numbers, count);
  }

  /**
   * Enters pages that have just been put into the cache: the first `count` of `pages`, whose numbers are `numbers`. Writes to `sources` the
   * page of equal content that the cache holds, or the page itself.
   */
  enter(pages: Span, numbers: Uint32Array, count: number, sources: Uint32Array): void {
    const present = pages.part(0, count * this.#pageBytes);
    this.#kernels.fingerprint.pages(present, this.#pageBytes, this.#secret, this.#fingerprints);
    const from = this.#fingerprints.u32;
    const slots = this.#slotFingerprints.u32;
    const found = this.#numbers.u32;
    for (let at = 0; at < count; at++) {
      const page = numbers[at] as number;
      copyFingerprint(from, at, slots, this.#cache.slotOf(page));
      found[at] = sources[at] = page;
    }
    this.#table.insert(this.#fingerprints, this.#numbers, count);
    this.#table.find(this.#fingerprints, this.#numbers, count);
    this.#compare(pages, count, sources);
  }

  /** Takes what the table found for a source, where the cache holds the very bytes. */
  #compare(pages: Span, count: number, sources: Uint32Array): void {
    const found = this.#numbers.u32;
    const left = this.#left.u32;
    const right = this.#right.u32;
    let candidates = 0;
    for (let at = 0; at < count; at++) {
      const source = found[at] as number;
      if (source === sources[at] || !this.#cache.holds(source)) continue;
      left[candidates] = at;
      right[candidates] = this.#cache.slotOf(source);
      candidates += 1;
    }
    if (candidates === 0) return;
    this.#kernels.dedup.compare(
      { pages, numbers: this.#left },
      { pages: this.#cache.pages, numbers: this.#right },
      candidates,
      this.#pageBytes,
      this.#equal,
    );
    const equal = this.#equal.bytes;
    for (let candidate = 0; candidate < candidates; candidate++) {
      if (!hasBit(equal, candidate)) continue;
      const at = left[candidate] as number;
      sources[at] = found[at] as number;
    }
  }
}

function copyFingerprint(from: Uint32Array, fromIndex: number, to: Uint32Array, toIndex: number): void {
  for (let word = 0; word < FINGERPRINT_WORDS; word++) {
    to[toIndex * FINGERPRINT_WORDS + word] = from[fromIndex * FINGERPRINT_WORDS + word] as number;
  }
}
