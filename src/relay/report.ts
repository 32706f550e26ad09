import type { RelayError, RelayErrorCode } from "./errors.js";
import type { StreamStatistics } from "./statistics.js";

/** What became of one stream, and what it was made of. */
export interface RelayReport {
  readonly machine: string;
  /** The stream's number on the link. */
  readonly stream: number;
  /** `ended`: both QEMUs have ended it; what they make of it they say themselves. */
  readonly outcome: "ended" | "failed";
  readonly error?: { readonly code: RelayErrorCode; readonly message: string };
  readonly totalTimeMs: number;
  /** Bytes of the stream that were encoded, or at the destination decoded. */
  readonly rawBytes: number;
  /** Bytes on the link that they took. */
  readonly sentBytes: number;
  /** Bytes of the return path. */
  readonly backBytes: number;
  /** At the source: the pages that travelled with content by class, those that QEMU said were zero, and bytes of everything else. */
  readonly pages?: StreamStatistics["pages"];
  readonly zeroRecords?: number;
  readonly verbatimBytes?: number;
  /** At the source, where the engine chose the codec: why that one. */
  readonly compression?: string;
}

/** What an end of a stream has counted. */
export interface StreamCounts {
  readonly machine: string;
  readonly stream: number;
  readonly totalTimeMs: number;
  readonly rawBytes: number;
  readonly sentBytes: number;
  readonly backBytes: number;
  readonly statistics?: StreamStatistics;
  readonly compression?: string | undefined;
}

export function reportOf(counts: StreamCounts, error: RelayError | undefined): RelayReport {
  const { statistics, compression, ...rest } = counts;
  return {
    ...rest,
    outcome: error === undefined ? "ended" : "failed",
    ...(error !== undefined && { error: { code: error.code, message: error.message } }),
    ...(statistics !== undefined && {
      pages: { ...statistics.pages },
      zeroRecords: statistics.zeroRecords,
      verbatimBytes: statistics.verbatimBytes,
    }),
    ...(compression !== undefined && { compression }),
  };
}
