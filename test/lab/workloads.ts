import type { LabWorkload } from "./plan.js";

/** For tests, in 128 MiB (redis: 256 MiB). Tests that take these share the booted guests. */
export const TEST_WORKLOADS = {
  idle: { kind: "idle" },
  writer: { kind: "writer", pages: 2048, rate: 4000, bytes: 64 },
  pages: { kind: "writer", pages: 2048, rate: 1500, bytes: 4096 },
  redis: { kind: "redis", keys: 20_000, rate: 500 },
  mix: { kind: "mix" },
} as const satisfies Record<string, LabWorkload>;

/** For the benchmark, in 512 MiB. redis has 245 MB of memory that is not zero then, and changes some 1,700 pages a second. */
export const BENCH_WORKLOADS = {
  idle: { kind: "idle" },
  redis: { kind: "redis", keys: 140_000, rate: 2000 },
  writer: { kind: "writer", pages: 40_000, rate: 4000, bytes: 64 },
  pages: { kind: "writer", pages: 40_000, rate: 1500, bytes: 4096 },
} as const satisfies Record<string, LabWorkload>;
