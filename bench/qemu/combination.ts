import type { LabMachineOptions, LabWorkload } from "../../test/lab/plan.js";
import { BENCH_WORKLOADS } from "../../test/lab/workloads.js";
import type { LinkShape } from "./link.js";

/** What a guest does. */
export interface Workload {
  readonly name: string;
  readonly workload: LabWorkload;
  readonly memoryBytes: number;
}

/** What is measured with each of the methods: a workload over a link. */
export interface Combination {
  readonly workload: Workload;
  readonly link: LinkShape;
  /** Has figures to reach, and is measured several times. */
  readonly hasAims: boolean;
}

const MEMORY_BYTES = 512 << 20;
const LARGE_MEMORY_BYTES = 4 * 2 ** 30;

const IDLE = workload("idle", BENCH_WORKLOADS.idle);
const LARGE_IDLE: Workload = { ...IDLE, name: "idle, 4 GiB", memoryBytes: LARGE_MEMORY_BYTES };
const REDIS = workload("redis", BENCH_WORKLOADS.redis);
const SPARSE_WRITER = workload("4000 pages/s × 64 B", BENCH_WORKLOADS.writer);
const PAGE_WRITER = workload("1500 pages/s × 4 KiB", BENCH_WORKLOADS.pages);
const WORKLOADS: readonly Workload[] = [IDLE, REDIS, SPARSE_WRITER, PAGE_WRITER];
const RATES: readonly (number | undefined)[] = [12.5e6, 100e6, undefined];
const ROUND_TRIPS_MS = [0, 40];

/** Its machine. */
export function machineOptions({ workload: { workload, memoryBytes } }: Combination): LabMachineOptions {
  return { workload, memoryBytes };
}

/** All workloads over all links, those with figures to reach first. */
export function combinations(): Combination[] {
  const all = WORKLOADS.flatMap((workload) =>
    RATES.flatMap((bytesPerSecond) =>
      ROUND_TRIPS_MS.map((roundTripMs) => {
        const isRedis = workload === REDIS;
        const isSlowWriter = workload === SPARSE_WRITER && bytesPerSecond === 12.5e6;
        return {
          workload,
          link: { bytesPerSecond, roundTripMs },
          hasAims: roundTripMs === 0 && (isRedis || isSlowWriter),
        };
      }),
    ),
  );
  return aimsFirst(all);
}

/** What the methods are measured with by which the memory follows the machine; the downtime shall not depend on how large that is. */
export function postcopyCombinations(): Combination[] {
  const all = combinations().map(({ workload, link }) => {
    const { bytesPerSecond, roundTripMs } = link;
    const isUnlimited = bytesPerSecond === undefined && roundTripMs === 0;
    const isSlow = bytesPerSecond === 12.5e6 && roundTripMs === 0;
    return { workload, link, hasAims: workload === REDIS ? isSlow || isUnlimited : workload === IDLE && isUnlimited };
  });
  const large = { workload: LARGE_IDLE, link: { bytesPerSecond: undefined, roundTripMs: 0 }, hasAims: true };
  return aimsFirst([...all, large]);
}

/** The link in words. */
export function linkName({ bytesPerSecond, roundTripMs }: LinkShape): string {
  const rate = bytesPerSecond === undefined ? "unlimited" : `${bytesPerSecond / 1e6} MB/s`;
  return roundTripMs === 0 ? rate : `${rate}, ${roundTripMs} ms`;
}

function workload(name: string, what: LabWorkload): Workload {
  return { name, workload: what, memoryBytes: MEMORY_BYTES };
}

function aimsFirst(all: readonly Combination[]): Combination[] {
  return [...all.filter(({ hasAims }) => hasAims), ...all.filter(({ hasAims }) => !hasAims)];
}
