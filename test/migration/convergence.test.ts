import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Convergence, type ConvergenceLimits, type Decision } from "../../src/migration/convergence.js";

const LIMITS: ConvergenceLimits = { downtimeLimitMs: 300, maxRounds: 50, maxTimeMs: 3_600_000, onStall: "fail" };
const PAGE_BYTES = 4096;
const SCAN_MS = 10;
const ROUND_TRIP_MS = 2;

/** A guest that dirties pages at a rate, each once, up to its working set, and a link that sends them. */
interface Simulation {
  readonly memoryPages: number;
  readonly workingSetPages: number;
  readonly dirtyPagesPerSecond: (round: number) => number;
  readonly linkBytesPerSecond: number;
}

interface Ending {
  readonly decisions: Decision[];
  readonly throttles: number[];
  readonly convergence: Convergence;
}

/** Plays rounds until the end is decided. */
function play(simulation: Simulation, limits: Partial<ConvergenceLimits> = {}, canThrottle = false): Ending {
  const { memoryPages, workingSetPages, dirtyPagesPerSecond, linkBytesPerSecond } = simulation;
  const convergence = new Convergence({ ...LIMITS, ...limits }, canThrottle);
  const decisions: Decision[] = [];
  const throttles: number[] = [];
  let pagesDirty = memoryPages;
  let elapsedMs = 0;
  for (let round = 0; round < 10_000; round++) {
    const transferredBytes = pagesDirty * PAGE_BYTES;
    const durationMs = SCAN_MS + (transferredBytes / linkBytesPerSecond) * 1000;
    elapsedMs += durationMs;
    const outcome = { round, pagesDirty, transferredBytes, durationMs, scanMs: SCAN_MS };
    const decision = convergence.decide(outcome, linkBytesPerSecond, ROUND_TRIP_MS, elapsedMs);
    decisions.push(decision);
    if (decision.action === "throttle") throttles.push(convergence.throttle);
    if (decision.action === "switch" || decision.action === "fail") break;
    const rate = dirtyPagesPerSecond(round) * (1 - convergence.throttle);
    pagesDirty = Math.min(workingSetPages, (rate * durationMs) / 1000);
  }
  return { decisions, throttles, convergence };
}

const QUIET: Simulation = {
  memoryPages: 100_000,
  workingSetPages: 50_000,
  dirtyPagesPerSecond: () => 1000,
  linkBytesPerSecond: 40_960_000,
};
/** Dirties twice as much as the link takes. */
const BUSY: Simulation = { ...QUIET, dirtyPagesPerSecond: () => 20_000 };

describe("convergence", () => {
  it("switches where rounds shrink until the rest fits, and its estimates are the guest's and the link's", () => {
    const { decisions, convergence } = play(QUIET);
    expect(decisions.map(({ action }) => action)).toEqual(["continue", "switch"]);
    expect(convergence.dirtyPagesPerSecond).toBeCloseTo(1000, 6);
    // The link takes ten times what the guest dirties: each round lasts a tenth of the one before, and the scan.
    const firstMs = SCAN_MS + 10_000;
    const secondMs = SCAN_MS + firstMs / 10;
    expect(convergence.expectedDowntimeMs).toBeCloseTo(secondMs / 10 + SCAN_MS + 2 * ROUND_TRIP_MS, 6);
    expect(play(QUIET, { downtimeLimitMs: 50 }).decisions).toHaveLength(3);
  });

  it("switches at once where nothing is dirtied", () => {
    const { decisions } = play({ ...QUIET, dirtyPagesPerSecond: () => 0 });
    expect(decisions.map(({ action }) => action)).toEqual(["continue", "switch"]);
  });

  it("counts the scan and the round trips to the downtime", () => {
    const decide = (scanMs: number, roundTripMs: number): string => {
      const convergence = new Convergence(LIMITS, false);
      const outcome = { round: 0, pagesDirty: 0, transferredBytes: 0, durationMs: 400, scanMs };
      convergence.decide(outcome, 1, roundTripMs, 0);
      return convergence.decide({ ...outcome, round: 1 }, 1, roundTripMs, 0).action;
    };
    expect([decide(300, 0), decide(301, 0), decide(0, 150), decide(0, 151)]).toEqual([
      "switch",
      "continue",
      "switch",
      "continue",
    ]);
  });

  it("fails where it stalls, with an explanation, or switches, as the caller chose", () => {
    const failed = play(BUSY).decisions;
    expect(failed.at(-1)?.action).toBe("fail");
    expect(failed.at(-1)?.reason).toMatch(/stopped shrinking.*ms of downtime where 300 ms are allowed/);
    expect(failed.length).toBeLessThan(10);
    expect(play(BUSY, { onStall: "switch" }).decisions.at(-1)?.action).toBe("switch");
  });

  it("stalled, waits for a remainder as low as the lowest before it switches", () => {
    const convergence = new Convergence({ ...LIMITS, downtimeLimitMs: 1, onStall: "switch" }, false);
    // Rounds of equal length: what remains is what the round found.
    const actions = [9000, 1000, 500, 800, 490, 700, 600, 491, 489].map((pagesDirty, round) => {
      const outcome = {
        round,
        pagesDirty,
        transferredBytes: pagesDirty * PAGE_BYTES,
        durationMs: 1000,
        scanMs: SCAN_MS,
      };
      const { action, reason } = convergence.decide(outcome, 1e6, ROUND_TRIP_MS, round * 1000);
      return reason.includes("waiting") ? "wait" : action;
    });
    const go = "continue";
    expect(actions).toEqual([go, go, go, go, go, "wait", "wait", "wait", "switch"]);
  });

  it("throttles in steps before it gives up, and no further than nearly to a stop", () => {
    const { decisions, throttles } = play({ ...BUSY, dirtyPagesPerSecond: () => 1e9 }, {}, true);
    expect(throttles.map((throttle) => Math.round(throttle * 100))).toEqual([20, 40, 60, 80, 99]);
    expect(decisions.at(-1)?.action).toBe("fail");
  });

  it("needs no more throttling than the link asks for", () => {
    const { decisions, throttles } = play(BUSY, {}, true);
    expect(throttles.length).toBeGreaterThan(0);
    expect(throttles.length).toBeLessThan(5);
    expect(decisions.at(-1)?.action).toBe("switch");
  });

  it("stops at the limits of rounds and time, also in the first round", () => {
    expect(play(BUSY, { maxRounds: 1 }).decisions.map(({ action }) => action)).toEqual(["fail"]);
    expect(play(BUSY, { maxRounds: 3 }).decisions).toHaveLength(3);
    expect(play(BUSY, { maxTimeMs: 1, onStall: "switch" }).decisions.map(({ action }) => action)).toEqual(["switch"]);
    expect(play(BUSY, { maxTimeMs: 15_000 }).decisions.at(-1)?.reason).toMatch(/limit of rounds or time/);
  });

  it("ends within the limit of rounds, whatever the guest does", () => {
    const simulations = fc.record({
      memoryPages: fc.integer({ min: 1, max: 1e6 }),
      workingSetPages: fc.integer({ min: 1, max: 1e6 }),
      rates: fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e9, noNaN: true })), { minLength: 1 }),
      linkBytesPerSecond: fc.oneof(fc.constant(0.001), fc.double({ min: 1, max: 1e10, noNaN: true })),
    });
    const limits = fc.record({
      maxRounds: fc.integer({ min: 1, max: 60 }),
      onStall: fc.constantFrom("switch" as const, "fail" as const),
    });
    fc.assert(
      fc.property(simulations, limits, fc.boolean(), ({ rates, ...simulation }, limit, canThrottle) => {
        const dirtyPagesPerSecond = (round: number): number => rates[round % rates.length] as number;
        const { decisions } = play({ ...simulation, dirtyPagesPerSecond }, limit, canThrottle);
        expect(decisions.length).toBeLessThanOrEqual(limit.maxRounds);
        expect(["switch", "fail"]).toContain(decisions.at(-1)?.action);
        if (limit.onStall === "switch") expect(decisions.at(-1)?.action).toBe("switch");
      }),
      { numRuns: 500, seed: 5 },
    );
  });
});
