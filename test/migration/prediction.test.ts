import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Forecast, type ForecastInput, predictConvergence } from "../../src/migration/prediction.js";

const LIMITS = { downtimeLimitMs: 300, maxTimeMs: 3_600_000, maxRounds: 50 };
const LINK: Pick<ForecastInput, "linkBytesPerSecond" | "roundTripMs" | "scanMs"> = {
  linkBytesPerSecond: 10e6,
  roundTripMs: 4,
  scanMs: 20,
};
/** 100 MB to send at first, 10 s at this link; then 1000 bytes for each page that is dirty. */
const INPUT: ForecastInput = {
  ...LIMITS,
  ...LINK,
  allocatedPages: 100_000,
  firstRoundBytes: 100e6,
  bytesPerDirtyPage: 1000,
  dirtyPagesPerSecond: 0,
  workingSetPages: 0,
};
const FIRST_MS = 20 + 10_000 + 4;

function predict(input: Partial<ForecastInput>): Forecast {
  return predictConvergence({ ...INPUT, ...input });
}

/** Writes of which none hits a page that was hit before. */
function endless(dirtyPagesPerSecond: number): Partial<ForecastInput> {
  return { dirtyPagesPerSecond, workingSetPages: 1e12, allocatedPages: 1e12 };
}

describe("prediction", () => {
  it("of a machine that stands still: one round more, then the scan and two round trips of downtime", () => {
    const { willConverge, rounds, downtimeMs, totalTimeMs, reason } = predict({});
    expect({ willConverge, rounds }).toEqual({ willConverge: true, rounds: 2 });
    expect(downtimeMs).toBeCloseTo(20 + 2 * 4, 6);
    expect(totalTimeMs).toBeCloseTo(FIRST_MS + 24 + 28, 6);
    expect(reason).toMatch(/about 0 pages a second.* 10\.0 MB\/s.*fits into the downtime limit of 300 ms/);
  });

  it("of writes without end: each round takes its share of the one before", () => {
    // 2000 pages of 1000 bytes a second: a fifth of the link.
    const share = 0.2;
    const second = 24 + share * FIRST_MS;
    const third = 24 + share * second;
    const { willConverge, rounds, downtimeMs, totalTimeMs } = predict(endless(2000));
    expect({ willConverge, rounds }).toEqual({ willConverge: true, rounds: 3 });
    expect(downtimeMs).toBeCloseTo(share * third + 20 + 8, 3);
    expect(totalTimeMs).toBeCloseTo(FIRST_MS + second + third + downtimeMs, 3);
  });

  it("of a working set that is written whole in each round: what it takes to send it is the downtime", () => {
    const busy = { dirtyPagesPerSecond: 1e9, workingSetPages: 2000 };
    // 2000 pages of 1000 bytes are 200 ms of the link. The rules, which take writes for even, expect less, and switch all the same.
    expect(predict(busy)).toMatchObject({ willConverge: true, rounds: 2 });
    expect(predict(busy).downtimeMs).toBeCloseTo(200 + 28, 6);
    const { willConverge, downtimeMs, reason } = predict({ ...busy, workingSetPages: 4000 });
    expect(willConverge).toBe(false);
    expect(downtimeMs).toBeCloseTo(400 + 28, 6);
    expect(reason).toMatch(/1000000000 pages a second.*about 42[89] ms of downtime where 300 ms are allowed/);
    expect(predict({ ...busy, workingSetPages: 1e6, allocatedPages: 2000 }).willConverge).toBe(true);
  });

  it("of a working set that a round writes once over: a part of it is hit twice, and another left alone", () => {
    const { downtimeMs } = predict({ dirtyPagesPerSecond: 1000, workingSetPages: FIRST_MS, maxRounds: 1 });
    expect(downtimeMs).toBeCloseTo(FIRST_MS * (1 - 1 / Math.E) * 0.1 + 28, 6);
  });

  it("says no where the machine writes faster than the link sends", () => {
    const { willConverge, reason } = predict(endless(11_000));
    expect(willConverge).toBe(false);
    expect(reason).toMatch(/stopped shrinking/);
    // A working set that is sent within the limit does not matter, however fast it is written.
    expect(predict({ dirtyPagesPerSecond: 11_000, workingSetPages: 500 }).willConverge).toBe(true);
  });

  it("counts scan and round trips to the downtime", () => {
    expect(predict({ scanMs: 292 }).willConverge).toBe(true);
    expect(predict({ scanMs: 293 }).willConverge).toBe(false);
    expect(predict({ roundTripMs: 140 }).willConverge).toBe(true);
    expect(predict({ roundTripMs: 141 }).willConverge).toBe(false);
  });

  it("keeps to the limits of rounds and time", () => {
    expect(predict({ ...endless(2000), maxRounds: 2 })).toMatchObject({ willConverge: false, rounds: 2 });
    expect(predict({ ...endless(2000), maxRounds: 3 })).toMatchObject({ willConverge: true, rounds: 3 });
    expect(predict({ maxTimeMs: FIRST_MS }).reason).toMatch(/limit of rounds or time/);
    expect(predict({ maxTimeMs: FIRST_MS + 1 }).willConverge).toBe(true);
  });

  it("has nothing to send of a machine that has nothing in use", () => {
    expect(predict({ allocatedPages: 0, firstRoundBytes: 0, dirtyPagesPerSecond: 0 }).willConverge).toBe(true);
    expect(predict({ allocatedPages: 0, firstRoundBytes: 0, dirtyPagesPerSecond: 10 }).willConverge).toBe(true);
  });

  it("always comes to an answer in numbers, and within the limit where it is yes", () => {
    const amounts = (max: number): fc.Arbitrary<number> =>
      fc.oneof(fc.constant(0), fc.double({ min: 0, max, noNaN: true }));
    const inputs = fc.record({
      allocatedPages: fc.nat(1e7),
      dirtyPagesPerSecond: amounts(1e9),
      workingSetPages: amounts(1e7),
      bytesPerDirtyPage: amounts(5000),
      firstRoundBytes: amounts(1e12),
      linkBytesPerSecond: fc.double({ min: 1, max: 1e10, noNaN: true }),
      roundTripMs: amounts(1000),
      scanMs: amounts(10_000),
      downtimeLimitMs: amounts(1e4),
      maxTimeMs: amounts(1e8),
      maxRounds: fc.integer({ min: 1, max: 60 }),
    });
    fc.assert(
      fc.property(inputs, (input) => {
        const { willConverge, rounds, totalTimeMs, downtimeMs } = predictConvergence(input);
        const fixedMs = input.scanMs + 2 * input.roundTripMs;
        expect(rounds).toBeGreaterThanOrEqual(1);
        expect(rounds).toBeLessThanOrEqual(input.maxRounds);
        expect(Number.isFinite(totalTimeMs)).toBe(true);
        expect(downtimeMs).toBeGreaterThanOrEqual(fixedMs);
        if (willConverge) expect(downtimeMs).toBeLessThanOrEqual(input.downtimeLimitMs);
      }),
      { numRuns: 500, seed: 8 },
    );
  });
});
