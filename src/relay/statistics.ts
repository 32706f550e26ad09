import type { EncodedPages } from "../page/encoder.js";

const CLASSES = ["zero", "fill", "dup", "delta", "novel", "unchanged"] as const;

/** What a stream was found to be made of. */
export class StreamStatistics {
  /** PAGE records by how their pages travelled. */
  readonly pages: Record<(typeof CLASSES)[number], number> = {
    zero: 0,
    fill: 0,
    dup: 0,
    delta: 0,
    novel: 0,
    unchanged: 0,
  };
  /** ZERO records. */
  zeroRecords = 0;
  /** Everything else: headers, device state, QEMU's own deltas, and what was not understood. */
  verbatimBytes = 0;

  /** Adds what an encoder has encoded since `before`. */
  add(before: EncodedPages, now: EncodedPages): void {
    for (const name of CLASSES) this.pages[name] += now[name] - before[name];
  }
}
