import { describe, expect, it } from "vitest";
import { postcopyAimsOf } from "../../bench/qemu/aims.js";
import { postcopyCombinations } from "../../bench/qemu/combination.js";
import type { PostcopyMeasurement } from "../../bench/qemu/measure-postcopy.js";

const MEASURED: PostcopyMeasurement = {
  workload: "redis",
  link: "12.5 MB/s",
  method: "QEMU post-copy",
  totalMs: 19_000,
  linkBytes: 200e6,
  faults: 60,
  faultMeanMs: 280,
  faultP99Ms: undefined,
  downtimeMs: 15,
  firstCountMs: 11_000,
  isSound: true,
  operationsPerSecondBefore: 2000,
  operationsPerSecondDuring: 100,
  operationsPerSecondAfter: 10,
  recoveryMs: 19_000,
  samples: [],
};

const limits = (...measurements: PostcopyMeasurement[]): [number, number][] =>
  postcopyAimsOf(measurements).map(({ measured, most }) => [measured, most]);

describe("the aims of post-copy", () => {
  const paced = { ...MEASURED, method: "QEMU post-copy, paced", recoveryMs: 18_000, linkBytes: 201e6 };
  const ours = { ...MEASURED, method: "pageferry hybrid", recoveryMs: 3000, linkBytes: 50e6 };

  it("compare with the better of QEMU's ways", () => {
    expect(limits(MEASURED, paced, ours)).toEqual([
      [3, 18],
      [0.25, 0.4],
    ]);
  });

  it("are missed by a guest that does not recover, and kept where only QEMU's does not", () => {
    expect(limits(MEASURED, { ...ours, recoveryMs: undefined })[0]).toEqual([Number.POSITIVE_INFINITY, 19]);
    expect(limits({ ...MEASURED, recoveryMs: undefined }, ours)[0]).toEqual([3, Number.POSITIVE_INFINITY]);
  });

  it("limit the downtime by the machine's size, where the link does not limit the state", () => {
    const workloads = ["redis", "idle", "idle, 4 GiB"];
    const all = workloads.map((workload) => ({ ...ours, workload, link: "unlimited", downtimeMs: 30 }));
    expect(limits(...all)).toEqual([
      [30, 40],
      [30, 40],
      [30, 45],
    ]);
    expect(limits({ ...ours, workload: "idle" }, { ...MEASURED, link: "unlimited" })).toEqual([]);
  });

  it("are measured: combinations that have them come first, and among them is a large machine", () => {
    const all = postcopyCombinations();
    const aimed = all.filter(({ hasAims }) => hasAims);
    expect(all.slice(0, aimed.length)).toEqual(aimed);
    expect(aimed.map(({ workload }) => workload.name)).toEqual(["redis", "redis", "idle", "idle, 4 GiB"]);
    expect(aimed.at(-1)?.workload.memoryBytes).toBe(4 * 2 ** 30);
  });
});
