import type { FaultReport } from "./guest.js";

/** What waits of so many milliseconds come to. */
export function summarizeFaults(waitsMs: readonly number[]): FaultReport {
  const sorted = Float64Array.from(waitsMs).sort();
  const faults = sorted.length;
  return {
    faults,
    meanMs: faults === 0 ? 0 : sorted.reduce((sum, ms) => sum + ms, 0) / faults,
    p99Ms: sorted[Math.ceil(faults * 0.99) - 1] ?? 0,
    maxMs: sorted[faults - 1] ?? 0,
  };
}
