import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Progress, ProgressStream, TimeLeft } from "../../src/migration/progress.js";

const progressOf = (round: number): Progress => ({
  phase: "copying",
  round,
  elapsedMs: 0,
  pagesScanned: 0,
  pagesTotal: 0,
  pagesSent: 0,
  pagesByClass: { zero: 0, fill: 0, dup: 0, delta: 0, novel: 0 },
  residualBytes: 0,
  confirmedBytes: 0,
  transferredBytes: 0,
  linkBytesPerSecond: 0,
  dirtyPagesPerSecond: undefined,
  estimatedTimeLeftMs: undefined,
});

/** Lets everything that waits for a promise go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function readAll(stream: ProgressStream): Promise<number[]> {
  const rounds: number[] = [];
  for await (const { round } of stream) rounds.push(round);
  return rounds;
}

describe("time left", () => {
  it("never grows, never is negative, and is known from the first estimate on", () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.double({ noNaN: true }), { nil: undefined })), (estimates) => {
        const timeLeft = new TimeLeft();
        let before: number | undefined;
        for (const estimate of estimates) {
          const shown = timeLeft.update(estimate);
          if (estimate === undefined) expect(shown).toBe(before);
          else expect(shown).toBe(Math.min(before ?? Number.POSITIVE_INFINITY, Math.max(0, estimate)));
          before = shown;
        }
      }),
      { seed: 6 },
    );
  });
});

describe("progress stream", () => {
  it("gives a reader that keeps up everything, and ends", async () => {
    const stream = new ProgressStream();
    const reading = readAll(stream);
    for (const round of [0, 1, 2]) {
      stream.push(progressOf(round));
      await settle();
    }
    stream.end();
    expect(await reading).toEqual([0, 1, 2]);
  });

  it("gives a slow reader the newest, a late one the last, and each its own", async () => {
    const stream = new ProgressStream();
    const slow = stream[Symbol.asyncIterator]();
    const fast = readAll(stream);
    stream.push(progressOf(0));
    expect((await slow.next()).value?.round).toBe(0);
    for (const round of [1, 2, 3]) {
      stream.push(progressOf(round));
      await settle();
    }
    expect((await slow.next()).value?.round).toBe(3);
    stream.end();
    expect(await slow.next()).toEqual({ value: undefined, done: true });
    expect(await fast).toEqual([0, 1, 2, 3]);
    expect(await readAll(stream)).toEqual([3]);
  });

  it("ends for readers that wait, also where nothing ever came", async () => {
    const stream = new ProgressStream();
    const readings = [readAll(stream), readAll(stream)];
    await settle();
    stream.end();
    expect(await Promise.all(readings)).toEqual([[], []]);
  });

  it("lets a reader leave", async () => {
    const stream = new ProgressStream();
    stream.push(progressOf(0));
    for await (const { round } of stream) {
      expect(round).toBe(0);
      break;
    }
    stream.push(progressOf(1));
    stream.end();
    expect(await readAll(stream)).toEqual([1]);
  });
});
