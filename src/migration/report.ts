import type { EncodedPages } from "../page/encoder.js";
import type { ServedPages } from "./page-server.js";
import type { Forecast } from "./prediction.js";

/** One round of a migration. Round 0 looks at all memory; the last one is sent while the machine stands still. */
export interface RoundReport {
  readonly round: number;
  readonly durationMs: number;
  readonly scanMs: number;
  readonly pagesScanned: number;
  /** Pages that were not what the destination held. */
  readonly pagesDirty: number;
  /** The dirty pages by how they travelled, in the last round those of the state too; `unchanged` ones turned out not to need it. */
  readonly pagesByClass: Readonly<Pick<EncodedPages, "zero" | "fill" | "dup" | "delta" | "novel" | "unchanged">>;
  /** The dirty pages' bytes in memory. */
  readonly rawBytes: number;
  /** Deltas and novel pages before compression. */
  readonly residualBytes: number;
  /** Frames on the wire. */
  readonly transferredBytes: number;
  /** How fast the link delivered, as the destination saw it; 0 where nothing large came. */
  readonly linkBytesPerSecond: number;
  /** Estimated at the end of the round, from the second on. */
  readonly dirtyPagesPerSecond: number | undefined;
  readonly expectedDowntimeMs: number | undefined;
  /** What was decided at its end, and why. */
  readonly decision: string;
}

/** How a migration ended. `lost`: the machine ran at the destination, and the rest of its memory will never come there. */
export type MigrationOutcome = "completed" | "failed" | "cancelled" | "in-doubt" | "lost";

/** How the memory came that followed the machine. */
export interface PostcopyReport extends ServedPages {
  /** From the moment that the machine ran at the destination until all of its memory was there, and the source might go. */
  readonly servingTimeMs: number;
}

/** What a migration did and what it cost, as plain JSON. Names follow QEMU's `query-migrate` where it has one. */
export interface MigrationReport {
  readonly outcome: MigrationOutcome;
  /** The error's code and sentence where it did not complete, or where it did and the source could not be freed. */
  readonly error: { readonly code: string; readonly message: string } | undefined;
  readonly machine: string;
  readonly strategy: string;
  /** What was expected before the start, where the strategy was `auto`. */
  readonly forecast: Forecast | undefined;
  /** Where the memory, or what the rounds left of it, followed the machine. */
  readonly postcopy: PostcopyReport | undefined;
  /** Until the destination was prepared. */
  readonly setupTimeMs: number;
  /** From the first call until the source was not needed any more, or the end. */
  readonly totalTimeMs: number;
  /** From the call to pause until the destination said that the machine runs; 0 where it never paused. */
  readonly downtimeMs: number;
  readonly downtimeLimitMs: number;
  /** Bytes of the machine's memory. */
  readonly ramBytes: number;
  readonly pageBytes: number;
  /** CPU and devices. */
  readonly stateBytes: number;
  /** All bytes that the source sent. */
  readonly transferredBytes: number;
  /** Scans of all memory: QEMU's dirty-sync-count. */
  readonly dirtySyncCount: number;
  readonly rounds: readonly RoundReport[];
  readonly compression: {
    readonly asked: string;
    /** Batches by the codec that they travelled in. */
    readonly batches: Readonly<Record<"none" | "lz4" | "zstd", number>>;
    /** Where it was chosen: why. */
    readonly explanation: string | undefined;
  };
  readonly verification: {
    /** SHA-256 over all memory's fingerprints and the state, as compared; undefined where it did not come to it. */
    readonly digest: string | undefined;
    readonly verified: boolean;
  };
}
