import { describe, expect, it } from "vitest";
import type { MigrationReport, RoundReport } from "../../src/migration/report.js";
import { findingsOf, headlineOf, totalsOf } from "../../web/src/report-words.js";

const ROUND: RoundReport = {
  round: 0,
  durationMs: 1100,
  scanMs: 20,
  pagesScanned: 18_432,
  pagesDirty: 12_000,
  pagesByClass: { zero: 0, fill: 40, dup: 3000, delta: 0, novel: 8960, unchanged: 0 },
  rawBytes: 12_000 * 4096,
  residualBytes: 36_000_000,
  transferredBytes: 17_900_000,
  linkBytesPerSecond: 12_500_000,
  dirtyPagesPerSecond: undefined,
  expectedDowntimeMs: undefined,
  decision: "go on: the rest takes longer than 300 ms",
};
const LAST: RoundReport = {
  ...ROUND,
  round: 1,
  pagesDirty: 144,
  pagesByClass: { zero: 4, fill: 0, dup: 0, delta: 130, novel: 10, unchanged: 0 },
};
const REPORT: MigrationReport = {
  outcome: "completed",
  error: undefined,
  machine: "linux",
  strategy: "precopy",
  forecast: undefined,
  postcopy: undefined,
  setupTimeMs: 10,
  totalTimeMs: 1200,
  downtimeMs: 47,
  downtimeLimitMs: 300,
  ramBytes: 72 << 20,
  pageBytes: 4096,
  stateBytes: 3_130_000,
  transferredBytes: 18_000_000,
  dirtySyncCount: 2,
  rounds: [ROUND, LAST],
  compression: { asked: "auto", batches: { none: 0, lz4: 10, zstd: 2 }, explanation: "…" },
  verification: { digest: "00", verified: true },
};
const textOf = (report: MigrationReport): string =>
  findingsOf(report)
    .map(({ title, term, figure, sentence, parts = [] }) => [title, `(${term})`, figure, sentence, ...parts].join(" "))
    .join("\n");

describe("a report in words", () => {
  it("says what it cost, with the field's terms in brackets", () => {
    const text = textOf(REPORT);
    expect(text).toContain("It stood still for (downtime) 47 ms That is less than a blink");
    expect(text).toContain("300 ms were allowed");
    expect(text).toContain("The whole move took (total time) 1.2 s It ran on for 96 % of that time.");
    expect(text).toContain("2 times (rounds, pre-copy)");
    expect(text).toContain("Over the link went (transferred) 18 MB The machine has 75.5 MB of memory (RAM)");
    expect(text).toContain("6,432 of its 18,432 pages were empty and did not travel");
    expect(text).toContain("8,970 were sent whole (novel), packed tighter by LZ4 and zstd (compression)");
    expect(text).toContain("Nothing was lost (verified)");
    expect(headlineOf(REPORT)).toBe("It stood still for 47 ms; the whole move took 1.2 s.");
  });

  it("adds up all rounds", () => {
    expect(totalsOf(REPORT)).toEqual({ zero: 4, fill: 40, dup: 3000, delta: 130, novel: 8970, unchanged: 0 });
  });

  it("leaves out classes that no page had", () => {
    const text = textOf({ ...REPORT, rounds: [{ ...ROUND, pagesByClass: { ...ROUND.pagesByClass, dup: 0 } }] });
    expect(text).not.toContain("(dup)");
    expect(text).not.toContain("(delta)");
  });

  it("admits that the standstill was longer than allowed", () => {
    expect(textOf({ ...REPORT, downtimeMs: 420 })).toContain("it was to be at most 300 ms, but");
  });

  it("says of stop-and-copy that the machine stood still all the while", () => {
    const text = textOf({ ...REPORT, strategy: "stop-and-copy", downtimeMs: 1190 });
    expect(text).toContain("stand still all the while (stop-and-copy)");
    expect(text).not.toContain("It ran on");
  });

  it("of a move that failed says why, and that the machine goes on", () => {
    const error = { code: "connection-lost", message: "The link was cut." };
    const text = textOf({ ...REPORT, outcome: "failed", error, rounds: [] });
    expect(text).toContain("The link was cut. The machine goes on where it was");
    expect(text).not.toContain("verified");
    expect(headlineOf({ ...REPORT, outcome: "failed", error })).toContain("goes on where it was");
  });

  it("claims nothing of a machine in doubt", () => {
    const report: MigrationReport = {
      ...REPORT,
      outcome: "in-doubt",
      error: { code: "in-doubt", message: "No answer." },
    };
    expect(textOf(report)).toContain("it may run over there");
    expect(textOf(report)).not.toContain("goes on where it was");
    expect(textOf(report)).not.toContain("thrown away");
  });
});
