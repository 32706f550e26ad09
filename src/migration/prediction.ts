import { Convergence } from "./convergence.js";

/** What is known before a pre-copy. */
export interface ForecastInput {
  /** Pages that can hold something. */
  readonly allocatedPages: number;
  readonly dirtyPagesPerSecond: number;
  /** The pages that are written again and again, as far as could be seen. */
  readonly workingSetPages: number;
  /** On the wire, of a page that was changed. */
  readonly bytesPerDirtyPage: number;
  /** On the wire, of the first round. */
  readonly firstRoundBytes: number;
  readonly linkBytesPerSecond: number;
  readonly roundTripMs: number;
  /** Of all memory in use, with the machine standing still. */
  readonly scanMs: number;
  readonly downtimeLimitMs: number;
  readonly maxTimeMs: number;
  readonly maxRounds: number;
}

/** What a pre-copy is expected to come to. */
export interface Forecast {
  readonly willConverge: boolean;
  readonly rounds: number;
  readonly totalTimeMs: number;
  readonly downtimeMs: number | undefined;
  readonly dirtyPagesPerSecond: number;
  readonly linkBytesPerSecond: number;
  /** Why, in words. */
  readonly reason: string;
}

/**
 * Plays a pre-copy through with the rules by which a real one ends. A machine that writes d pages a second out of a working set of w has dirtied
 * w × (1 − e^(−d t / w)) pages after t seconds.
 */
export function predictConvergence(input: ForecastInput): Forecast {
  const { downtimeLimitMs, maxRounds, maxTimeMs, linkBytesPerSecond, bytesPerDirtyPage, scanMs, roundTripMs } = input;
  const convergence = new Convergence({ downtimeLimitMs, maxRounds, maxTimeMs, onStall: "fail" }, false);
  let elapsedMs = 0;
  let previousMs = 0;
  for (let round = 0; ; round++) {
    const pagesDirty = round === 0 ? input.allocatedPages : dirtyAfter(input, previousMs);
    const transferredBytes = round === 0 ? input.firstRoundBytes : pagesDirty * bytesPerDirtyPage;
    const durationMs = Math.max(scanMs + (transferredBytes / linkBytesPerSecond) * 1000 + roundTripMs, 1);
    elapsedMs += durationMs;
    previousMs = durationMs;
    const outcome = { round, pagesDirty, transferredBytes, durationMs, scanMs };
    const { action, reason } = convergence.decide(outcome, linkBytesPerSecond, roundTripMs, elapsedMs);
    if (action === "continue") continue;
    const willConverge = action === "switch";
    const downtimeMs = convergence.expectedDowntimeMs;
    return {
      willConverge,
      rounds: round + 1,
      totalTimeMs: elapsedMs + (downtimeMs ?? 0),
      downtimeMs,
      dirtyPagesPerSecond: input.dirtyPagesPerSecond,
      linkBytesPerSecond,
      reason: `${describe(input)}: ${reason}`,
    };
  }
}

function dirtyAfter({ dirtyPagesPerSecond, workingSetPages, allocatedPages }: ForecastInput, timeMs: number): number {
  const most = Math.min(Math.max(workingSetPages, 1), allocatedPages);
  return most * (1 - Math.exp((-dirtyPagesPerSecond * timeMs) / 1000 / most));
}

function describe({ dirtyPagesPerSecond, linkBytesPerSecond }: ForecastInput): string {
  const rate = (linkBytesPerSecond / 1e6).toFixed(1);
  return `the machine writes to about ${Math.round(dirtyPagesPerSecond)} pages a second, and the link takes ${rate} MB/s`;
}
