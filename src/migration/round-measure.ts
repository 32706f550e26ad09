import type { EncodedPages } from "../page/encoder.js";
import type { RoundReport } from "./report.js";

/** A round as it was measured; what was decided at its end is not known yet. */
export type MeasuredRound = Omit<RoundReport, "dirtyPagesPerSecond" | "expectedDowntimeMs" | "decision">;

/** What all rounds together have come to. */
export interface RoundTotals {
  readonly bytesSent: number;
  readonly encoded: EncodedPages;
}

/** One round, from its construction on. */
export class RoundMeasure {
  scanMs = 0;
  pagesDirty = 0;
  readonly #startMs = performance.now();
  readonly #before: RoundTotals;

  constructor(before: RoundTotals) {
    this.#before = before;
  }

  /** The round is over; `now` are the totals with it. */
  end(
    now: RoundTotals,
    round: Pick<RoundReport, "round" | "pagesScanned" | "linkBytesPerSecond">,
    pageBytes: number,
  ): MeasuredRound {
    const { zero, fill, dup, delta, novel, unchanged, residualBytes } = now.encoded;
    const { encoded: before, bytesSent } = this.#before;
    return {
      ...round,
      durationMs: performance.now() - this.#startMs,
      scanMs: this.scanMs,
      pagesDirty: this.pagesDirty,
      pagesByClass: {
        zero: zero - before.zero,
        fill: fill - before.fill,
        dup: dup - before.dup,
        delta: delta - before.delta,
        novel: novel - before.novel,
        unchanged: unchanged - before.unchanged,
      },
      rawBytes: this.pagesDirty * pageBytes,
      residualBytes: residualBytes - before.residualBytes,
      transferredBytes: now.bytesSent - bytesSent,
    };
  }
}
