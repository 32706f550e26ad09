import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { extrapolate, percentile, rateBetween, recoveredAtMs, type Sample } from "../../bench/qemu/samples.js";

const STEP_MS = 50;

/** What a guest has done by a moment, if it does so much in each 50 ms; after them it does nothing. */
function doneBy(atMs: number, steps: readonly number[]): number {
  const whole = Math.floor(atMs / STEP_MS);
  const before = steps.slice(0, whole).reduce((sum, step) => sum + step, 0);
  return before + ((steps[whole] ?? 0) * (atMs % STEP_MS)) / STEP_MS;
}

/** The samples of someone who asks every 250 ms at most, and is answered after so long by a guest that looks at its counts halfway. */
function samplesOf(steps: readonly number[], delaysMs: (turn: number) => number): Sample[] {
  const samples: Sample[] = [];
  for (let askedMs = 0; askedMs < steps.length * STEP_MS; ) {
    const delayMs = delaysMs(samples.length);
    samples.push({ operations: doneBy(askedMs + delayMs / 2, steps), askedMs, answeredMs: askedMs + delayMs });
    askedMs += Math.max(250, delayMs);
  }
  return samples;
}

const steady = (ms: number, perStep = 100): number[] => Array(ms / STEP_MS).fill(perStep);
const BEFORE = samplesOf(steady(5000), () => 100);

describe("the time until a guest has recovered", () => {
  it("is none for a guest that goes on as before", () => {
    expect(recoveredAtMs(BEFORE, BEFORE)).toBe(0);
  });

  it("ends where it is back at its rate", () => {
    const after = samplesOf([...steady(3000, 0), ...steady(1000, 20), ...steady(4000)], () => 100);
    expect(recoveredAtMs(BEFORE, after)).toBe(4000);
  });

  it("goes on below 90 %, and ends above", () => {
    expect(
      recoveredAtMs(
        BEFORE,
        samplesOf(steady(8000, 89), () => 100),
      ),
    ).toBeUndefined();
    expect(
      recoveredAtMs(
        BEFORE,
        samplesOf(steady(8000, 91), () => 100),
      ),
    ).toBe(0);
  });

  it("needs a whole second", () => {
    const after = samplesOf([...steady(2000, 0), ...steady(500), ...steady(3000, 0)], () => 100);
    expect(recoveredAtMs(BEFORE, after)).toBeUndefined();
    expect(
      recoveredAtMs(
        BEFORE,
        samplesOf(steady(750), () => 100),
      ),
    ).toBeUndefined();
  });

  it("is not ended by an answer that comes late", () => {
    // It does nothing but for one half of a second; who takes the answers' times sees all of that in a quarter.
    const after = samplesOf([...steady(2000, 0), ...steady(500), ...steady(2500, 0)], (turn) =>
      turn === 6 ? 900 : 100,
    );
    expect(recoveredAtMs(BEFORE, after)).toBeUndefined();
  });

  it("is never said to be over before the guest does nine tenths, however late it answers", () => {
    const steps = fc.array(fc.nat({ max: 300 }), { minLength: 40, maxLength: 200 });
    const delays = fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(steps, delays, (after, delaysMs) => {
        const samples = samplesOf(after, (turn) => delaysMs[turn % delaysMs.length] as number);
        const atMs = recoveredAtMs(BEFORE, samples);
        if (atMs === undefined) return;
        const end = samples.find(({ answeredMs }) => answeredMs >= atMs + 1000) as Sample;
        const seconds = (end.answeredMs - atMs) / 1000;
        // 2000 a second, of which a window from question to answer sees all but 100 ms in 1100.
        const least = 0.9 * 2000 * (1000 / 1100);
        expect((doneBy(end.answeredMs, after) - doneBy(atMs, after)) / seconds).toBeGreaterThanOrEqual(least - 1e-6);
      }),
    );
  });
});

describe("what else is made of samples", () => {
  it("is a rate, and what would be next", () => {
    const [first, last] = [BEFORE[2], BEFORE[10]] as [Sample, Sample];
    expect(rateBetween(first, last)).toBe(2000);
    expect(extrapolate(first, 2000, 5000)).toEqual({
      operations: first.operations + 2 * (5000 - first.answeredMs),
      askedMs: 5000,
      answeredMs: 5000,
    });
  });

  it.each<[number, number]>([
    [0, 1],
    [0.5, 50],
    [0.505, 51],
    [0.99, 99],
    [1, 100],
  ])("is the percentile at %d of a hundred values", (share, value) => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentile(values, share)).toBe(value);
    expect(percentile([7], share)).toBe(7);
    expect(percentile([], share)).toBeNaN();
  });
});
