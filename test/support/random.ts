/** A small seeded generator (mulberry32), so that every case can be played again from its seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++) bytes[at] = this.below(256);
    return bytes;
  }

  /** Bytes that look like a machine's memory: stretches of zeros, counting, text and noise. */
  memoryLike(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const stretch = Math.min(length - at, 1 + this.below(200));
      const kind = this.below(4);
      for (let end = at + stretch; at < end; at++) {
        bytes[at] = [0, at >> 2, 97 + this.below(6), this.below(256)][kind] as number;
      }
    }
    return bytes;
  }

  /** Changes some bytes, often many together. */
  change(bytes: Uint8Array, runs: number, maxRunBytes: number): void {
    for (let run = 0; run < runs; run++) {
      const start = this.below(bytes.length);
      const end = Math.min(bytes.length, start + 1 + this.below(maxRunBytes));
      for (let at = start; at < end; at++) bytes[at] = this.below(256);
    }
  }

  /** One to four random edits of an encoded input: a byte or bit changed, a piece cut out, the end cut off, bytes put in. */
  mutate(bytes: Uint8Array): Uint8Array {
    let mutated = Array.from(bytes);
    for (let edits = 1 + this.below(4); edits > 0 && mutated.length > 0; edits--) {
      const at = this.below(mutated.length);
      switch (this.below(6)) {
        case 0:
          mutated[at] = this.below(256);
          break;
        case 1:
          mutated[at] = (mutated[at] as number) ^ (1 << this.below(8));
          break;
        case 2:
          mutated.splice(at, 1 + this.below(4));
          break;
        case 3:
          mutated = mutated.slice(0, at);
          break;
        case 4:
          mutated.splice(at, 0, ...this.bytes(1 + this.below(3)));
          break;
        default:
          mutated[at] = [0, 255, 0x7f, 0x80][this.below(4)] as number;
      }
    }
    return Uint8Array.from(mutated);
  }
}
