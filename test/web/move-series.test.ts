import { describe, expect, it } from "vitest";
import type { Progress } from "../../src/migration/progress.js";
import { MoveSeries } from "../../web/src/move-series.js";

const START: Progress = {
  phase: "copying",
  round: 0,
  elapsedMs: 0,
  pagesScanned: 0,
  pagesTotal: 1000,
  pagesSent: 0,
  pagesByClass: { zero: 0, fill: 0, dup: 0, delta: 0, novel: 0 },
  residualBytes: 0,
  transferredBytes: 0,
  confirmedBytes: 0,
  linkBytesPerSecond: 0,
  dirtyPagesPerSecond: undefined,
  estimatedTimeLeftMs: undefined,
};

describe("what the charts of a move are drawn from", () => {
  it("pages remaining: all in the first round, later ones by what the round has found so far", () => {
    const series = new MoveSeries(4096);
    series.add({ ...START, elapsedMs: 100, pagesScanned: 250, pagesSent: 200 });
    series.add({ ...START, elapsedMs: 400, pagesScanned: 1000, pagesSent: 800 });
    series.add({ ...START, elapsedMs: 500, round: 1, pagesScanned: 10, pagesSent: 800 });
    series.add({ ...START, elapsedMs: 600, round: 1, pagesScanned: 500, pagesSent: 830 });
    series.add({ ...START, elapsedMs: 700, round: 1, pagesScanned: 1000, pagesSent: 850, phase: "completed" });
    expect(series.moments.map(({ remaining }) => remaining)).toEqual([750, 0, null, 30, 0]);
  });

  it("time left: at the speed of the first round so far, then as the engine says, and none at the end", () => {
    const series = new MoveSeries(4096);
    series.add({ ...START, elapsedMs: 100 });
    series.add({ ...START, elapsedMs: 600, pagesScanned: 250, estimatedTimeLeftMs: 1 });
    series.add({ ...START, elapsedMs: 2100, round: 1, estimatedTimeLeftMs: 80 });
    series.add({ ...START, elapsedMs: 2200, round: 2, phase: "completed", estimatedTimeLeftMs: 0 });
    expect(series.moments.map(({ secondsLeft }) => secondsLeft)).toEqual([null, 1.5, 0.08, 0]);
  });

  it("bytes by class: each with those below it", () => {
    const series = new MoveSeries(4096);
    series.add({ ...START, pagesByClass: { novel: 4, delta: 3, dup: 2, fill: 1, zero: 1 } });
    expect(series.moments[0]?.stackedBytes).toEqual([4, 7, 9, 10, 11].map((pages) => pages * 4096));
  });

  it("rates: unknown ones are gaps, and pages become bytes", () => {
    const series = new MoveSeries(4096);
    series.add(START);
    series.add({ ...START, elapsedMs: 1000, dirtyPagesPerSecond: 100, linkBytesPerSecond: 5e6 });
    expect(series.moments.map(({ dirtyBytesPerSecond }) => dirtyBytesPerSecond)).toEqual([null, 409_600]);
    expect(series.moments.map(({ linkBytesPerSecond }) => linkBytesPerSecond)).toEqual([null, 5e6]);
  });

  it("a short round says nothing of the link, a long one does", () => {
    const series = new MoveSeries(4096);
    series.add({ ...START, elapsedMs: 100, transferredBytes: 8e6, linkBytesPerSecond: 1e7 });
    series.add({ ...START, elapsedMs: 200, round: 1, transferredBytes: 8.2e6, linkBytesPerSecond: 9e7 });
    series.add({ ...START, elapsedMs: 300, round: 2, transferredBytes: 9.9e6, linkBytesPerSecond: 2e7 });
    expect(series.moments.map(({ linkBytesPerSecond }) => linkBytesPerSecond)).toEqual([1e7, 1e7, 2e7]);
  });

  it("a long move stays small, and keeps its beginning and its end", () => {
    const series = new MoveSeries(4096);
    for (let tick = 0; tick <= 20_000; tick++) series.add({ ...START, elapsedMs: tick * 60 });
    series.add({ ...START, elapsedMs: 1_200_001, phase: "completed" });
    expect(series.moments.length).toBeLessThanOrEqual(1200);
    expect(series.moments[0]?.seconds).toBe(0);
    expect(series.moments.at(-1)?.seconds).toBe(1200.001);
  });
});
