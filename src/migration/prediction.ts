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
  /** Above 0. */
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
  /** Whether it ends within all limits. */
  readonly willConverge: boolean;
  /** With the first one, and without what is sent while the machine stands still. */
  readonly rounds: number;
  readonly totalTimeMs: number;
  readonly downtimeMs: number;
  readonly dirtyPagesPerSecond: number;
  readonly linkBytesPerSecond: number;
  /** Why, in words. */
  readonly reason: string;
}

/**
 * Plays a pre-copy through with the rules by which a real one ends. A machine that writes d pages a second out of a working set of w has dirtied
 * w × (1 − e^(−d t / w)) pages after t seconds. The rules take writes for even, and so would switch too early where a small working set is written
 * whole in a fraction of a round: what is said of the downtime is what it would come to.
 */
export function predictConvergence(input: ForecastInput): Forecast {
  const { downtimeLimitMs, maxRounds, maxTimeMs, linkBytesPerSecond, bytesPerDirtyPage, scanMs, roundTripMs } = input;
  const convergence = new Convergence({ downtimeLimitMs, maxRounds, maxTimeMs, onStall: "fail" }, false);
  const sendMs = (bytes: number): number => (bytes / linkBytesPerSecond) * 1000;
  let pagesDirty = input.allocatedPages;
  let transferredBytes = input.firstRoundBytes;
  let elapsedMs = 0;
  for (let round = 0; ; round++) {
    const durationMs = Math.max(scanMs + sendMs(transferredBytes) + roundTripMs, 1);
    elapsedMs += durationMs;
    const outcome = { round, pagesDirty, transferredBytes, durationMs, scanMs };
    const decision = convergence.decide(outcome, linkBytesPerSecond, roundTripMs, elapsedMs);
    pagesDirty = dirtyAfter(input, durationMs);
    transferredBytes = pagesDirty * bytesPerDirtyPage;
    if (decision.action === "continue") continue;
    const downtimeMs = sendMs(transferredBytes) + scanMs + 2 * roundTripMs;
    const isTooLong = downtimeMs > downtimeLimitMs;
    const reason =
      decision.action === "switch" && isTooLong
        ? `what it writes again and again takes about ${Math.ceil(downtimeMs)} ms of downtime where ${downtimeLimitMs} ms are allowed`
        : decision.reason;
    return {
      willConverge: decision.action === "switch" && !isTooLong,
      rounds: round + 1,
      totalTimeMs: elapsedMs + downtimeMs,
      downtimeMs,
      dirtyPagesPerSecond: input.dirtyPagesPerSecond,
      linkBytesPerSecond,
      reason: `${describe(input)}: ${reason}`,
    };
  }
}

function dirtyAfter({ dirtyPagesPerSecond, workingSetPages, allocatedPages }: ForecastInput, timeMs: number): number {
  const most = Math.max(1, Math.min(workingSetPages, allocatedPages));
  return most * -Math.expm1((-dirtyPagesPerSecond * timeMs) / 1000 / most);
}

function describe({ dirtyPagesPerSecond, linkBytesPerSecond }: ForecastInput): string {
  const rate = (linkBytesPerSecond / 1e6).toFixed(1);
  return `the machine writes to about ${Math.round(dirtyPagesPerSecond)} pages a second, and the link takes ${rate} MB/s`;
}
