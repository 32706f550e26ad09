/** What a memory machine does to its memory, all of it determined by the seed. */
export interface Workload {
  readonly seed: number;
  /** The first bytes of the memory hold content from the start; the rest is zero. */
  readonly filledBytes: number;
  /** Writes go to so many first pages of the memory. */
  readonly workingSetPages: number;
  readonly pagesPerSecond: number;
  /** Each write changes so many bytes of a page, next to each other. */
  readonly bytesPerPage: number;
  /** Whether pages are taken one after the other or at random. */
  readonly pattern: "sequential" | "random";
}

/** Writes a workload step by step: after as many steps the memory is always the same. */
export class WorkloadWriter {
  readonly #workload: Workload;
  readonly #pageBytes: number;
  #steps = 0;

  constructor(workload: Workload, pageBytes: number) {
    this.#workload = workload;
    this.#pageBytes = pageBytes;
  }

  /** Writes done so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Puts the content of the start into zeroed memory: words that repeat here and there, as a machine's memory does. */
  fill(memory: Uint8Array): void {
    const words = new Uint32Array(
      memory.buffer,
      memory.byteOffset,
      Math.min(this.#workload.filledBytes, memory.length) >>> 2,
    );
    let state = this.#workload.seed;
    for (let at = 0; at < words.length; at++) {
      state = mix(state + at);
      // Half of the words are small numbers.
      words[at] = (state & 1) === 1 ? state >>> 24 : state;
    }
  }

  /** Does the steps up to `steps`; `onWrite` hears of each page. Stands still before a page that `mayTouch` says is not to be touched yet. */
  advanceTo(
    steps: number,
    memory: Uint8Array,
    onWrite?: (page: number) => void,
    mayTouch?: (page: number) => boolean,
  ): void {
    const { seed, workingSetPages, bytesPerPage, pattern } = this.#workload;
    for (; this.#steps < steps; this.#steps++) {
      const random = mix(mix(seed ^ this.#steps) + this.#steps);
      const page = (pattern === "random" ? random : this.#steps) % workingSetPages;
      if (mayTouch?.(page) === false) return;
      const offset = mix(random) % (this.#pageBytes - bytesPerPage + 1);
      const start = page * this.#pageBytes + offset;
      for (let at = start; at < start + bytesPerPage; at++) memory[at] = mix(random + at) >>> 24;
      onWrite?.(page);
    }
  }

  /** Goes on where another writer stood. */
  continueFrom(steps: number): void {
    this.#steps = steps;
  }
}

/** The finaliser of MurmurHash3: every bit of the input changes about half of the output's. */
function mix(value: number): number {
  let mixed = value >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
