import type { EncodedPages } from "../page/encoder.js";

/** How far a migration is. */
export interface Progress {
  readonly phase: "setup" | "copying" | "paused" | "committing" | "serving" | "completed";
  readonly round: number;
  readonly elapsedMs: number;
  /** Pages looked at in this round, of all; where the memory follows the machine, those that have been sent or need not be. */
  readonly pagesScanned: number;
  readonly pagesTotal: number;
  /** Dirty pages encoded so far, in all rounds. */
  readonly pagesSent: number;
  /** The same pages by how they travelled. */
  readonly pagesByClass: Readonly<Pick<EncodedPages, "zero" | "fill" | "dup" | "delta" | "novel">>;
  /** Their deltas and novel pages before compression. */
  readonly residualBytes: number;
  readonly transferredBytes: number;
  /** Bytes of batches that are in the destination's memory. */
  readonly confirmedBytes: number;
  readonly linkBytesPerSecond: number;
  readonly dirtyPagesPerSecond: number | undefined;
  /** Never larger than it was said before; undefined until it can be told. */
  readonly estimatedTimeLeftMs: number | undefined;
}

/** Estimates that never run backwards: the time left never grows, and what it was wrong by shows as standing still. */
export class TimeLeft {
  #leftMs: number | undefined;

  /** Takes a new estimate and gives the one to show. */
  update(estimateMs: number | undefined): number | undefined {
    if (estimateMs === undefined) return this.#leftMs;
    this.#leftMs = Math.min(this.#leftMs ?? Number.POSITIVE_INFINITY, Math.max(0, estimateMs));
    return this.#leftMs;
  }
}

/** The progress of one migration as a stream for any number of readers: each sees the newest, and nothing piles up for a slow one. */
export class ProgressStream implements AsyncIterable<Progress> {
  readonly #waiting = new Set<() => void>();
  #newest: Progress | undefined;
  #count = 0;
  #isEnded = false;

  push(progress: Progress): void {
    this.#newest = progress;
    this.#count += 1;
    this.#wake();
  }

  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Progress, void, void> {
    for (let seen = 0; ; ) {
      if (this.#count > seen) {
        seen = this.#count;
        yield this.#newest as Progress;
      } else if (this.#isEnded) {
        return;
      } else {
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
