import type { LabMachineOptions, LabWorkload } from "../../test/lab/plan.js";
import { BENCH_WORKLOADS } from "../../test/lab/workloads.js";
import type { LinkShape } from "./link.js";

/** What a guest does. */
export interface Workload {
  readonly name: string;
  readonly workload: LabWorkload;
}

/** What is measured with each of the methods: a workload over a link. */
export interface Combination {
  readonly workload: Workload;
  readonly link: LinkShape;
  /** Has figures to reach, and is measured several times. */
  readonly hasAims: boolean;
}

const MEMORY_BYTES = 512 << 20;

const IDLE: Workload = { name: "idle", workload: BENCH_WORKLOADS.idle };
const REDIS: Workload = { name: "redis", workload: BENCH_WORKLOADS.redis };
const SPARSE_WRITER: Workload = { name: "4000 pages/s × 64 B", workload: BENCH_WORKLOADS.writer };
const PAGE_WRITER: Workload = { name: "1500 pages/s × 4 KiB", workload: BENCH_WORKLOADS.pages };
const WORKLOADS: readonly Workload[] = [IDLE, REDIS, SPARSE_WRITER, PAGE_WRITER];
const RATES: readonly (number | undefined)[] = [12.5e6, 100e6, undefined];
const ROUND_TRIPS_MS = [0, 40];

/** The machine of a workload, all of the same size. */
export function machineOptions({ workload }: Workload): LabMachineOptions {
  return { workload, memoryBytes: MEMORY_BYTES };
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
  return [...all.filter(({ hasAims }) => hasAims), ...all.filter(({ hasAims }) => !hasAims)];
}

/** The link in words. */
export function linkName({ bytesPerSecond, roundTripMs }: LinkShape): string {
  const rate = bytesPerSecond === undefined ? "unlimited" : `${bytesPerSecond / 1e6} MB/s`;
  return roundTripMs === 0 ? rate : `${rate}, ${roundTripMs} ms`;
}
