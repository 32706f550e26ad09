import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { combinations } from "../../bench/qemu/combination.js";
import { runSeries, type Series } from "../../bench/qemu/runs.js";

interface Result {
  readonly method: string;
  readonly totalMs: number;
}

/** A series of which each run gives the next of these times, or fails where there is none. */
function series(totalsMs: (number | undefined)[]): Series<{ readonly name: string }, Result> & { printed: string[] } {
  const printed: string[] = [];
  return {
    printed,
    titleEnd: ", postcopy",
    combinations: combinations(),
    methodsAt: ({ link }) => (link.bytesPerSecond === undefined ? [{ name: "a" }] : [{ name: "a" }, { name: "b" }]),
    async measure(_, { name }) {
      const totalMs = totalsMs.shift();
      if (totalMs === undefined) throw new Error("no time");
      return { method: name, totalMs };
    },
    printHead: () => printed.push("head"),
    print: ({ method, totalMs }, runs) => printed.push(`${method} ${totalMs} of ${runs}`),
    aimsOf: (medians) => medians.map(({ method, totalMs }) => ({ what: method, measured: totalMs, most: 1, unit: "" })),
  };
}

const exitCode = process.exitCode;
beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  process.exitCode = exitCode;
  vi.restoreAllMocks();
});

describe("a series of runs", () => {
  it("takes turns between the methods, and prints the medians", async () => {
    const these = series([5, 10, 9, 30, 7, 20]);
    const only = "redis 12.5 MB/s, postcopy";
    const { measurements, aims } = await runSeries(these, { hasAims: true, only, runs: 3 });
    expect(measurements.map(({ totalMs }) => totalMs)).toEqual([5, 10, 9, 30, 7, 20]);
    expect(these.printed).toEqual(["head", "a 7 of 3", "b 20 of 3"]);
    expect(aims.map(({ measured }) => measured)).toEqual([7, 20]);
  });

  it("goes on where one fails, and tells of it", async () => {
    const these = series([undefined, 2, 3]);
    const { measurements } = await runSeries(these, { hasAims: true, only: "redis 100", runs: 1 });
    expect(measurements).toEqual([{ method: "b", totalMs: 2 }]);
    expect(console.error).toHaveBeenCalledWith("redis 100 MB/s, postcopy, a: no time");
    expect(process.exitCode).toBe(1);
  });

  it("leaves out what is not selected", async () => {
    const these = series([1]);
    await runSeries(these, { hasAims: true, only: "redis unlimited, postcopy", runs: 1 });
    expect(these.printed).toEqual(["head", "a 1 of 1"]);
    const none = series([]);
    expect(await runSeries(none, { hasAims: true, only: "idle", runs: 1 })).toEqual({ measurements: [], aims: [] });
    expect(none.printed).toEqual([]);
  });
});
