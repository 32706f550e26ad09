import type { Measurement } from "./measure.js";
import type { PostcopyMeasurement } from "./measure-postcopy.js";

/** A figure that is not to be exceeded. */
export interface Aim {
  readonly what: string;
  readonly measured: number;
  readonly most: number;
  readonly unit: string;
}

/** What a mode may take of what QEMU's pre-copy takes, by the link. */
interface Shares {
  readonly time: number;
  readonly bytes?: number;
}

const REDIS_SHARES: Readonly<Record<string, Readonly<Record<string, Shares>>>> = {
  "12.5 MB/s": { "pageferry A": { time: 0.4, bytes: 0.35 }, "pageferry B": { time: 0.45, bytes: 0.4 } },
  "100 MB/s": { "pageferry A": { time: 0.8 }, "pageferry B": { time: 0.8 } },
  unlimited: { "pageferry A": { time: 1.3 }, "pageferry B": { time: 1.3 } },
};
const WRITER_MOST_S = 15;
const DOWNTIME_MOST_MS = 100;
/** Where the memory follows the machine, and the link is no limit to the state's way. */
const POSTCOPY_DOWNTIME_MOST_MS = 40;
const LARGE_POSTCOPY_DOWNTIME_MOST_MS = 45;
const POSTCOPY_SHARE_OF_BYTES = 0.4;

/** The aims for one workload and link, of which these are all methods' measurements. */
export function aimsOf(measurements: readonly Measurement[]): Aim[] {
  const base = measurements.find(({ method }) => method === "QEMU pre-copy");
  return measurements
    .filter(({ method }) => method.startsWith("pageferry"))
    .flatMap((measurement) => {
      const { workload, link, method, totalMs, linkBytes, downtimeMs } = measurement;
      const title = `${workload}, ${link}, ${method}`;
      const aims: Aim[] = [];
      const shares = workload === "redis" ? REDIS_SHARES[link]?.[method] : undefined;
      if (shares !== undefined && base !== undefined) {
        aims.push({ what: `${title}: time ÷ QEMU's`, measured: totalMs / base.totalMs, most: shares.time, unit: " ×" });
        const { bytes } = shares;
        if (bytes !== undefined) {
          aims.push({
            what: `${title}: bytes ÷ QEMU's`,
            measured: linkBytes / base.linkBytes,
            most: bytes,
            unit: " ×",
          });
        }
      }
      if (workload !== "redis") {
        aims.push({ what: `${title}: time`, measured: totalMs / 1000, most: WRITER_MOST_S, unit: " s" });
      }
      if (method === "pageferry A" && downtimeMs !== undefined) {
        aims.push({ what: `${title}: downtime`, measured: downtimeMs, most: DOWNTIME_MOST_MS, unit: " ms" });
      }
      return aims;
    });
}

/** The same for the methods by which the memory follows the machine. */
export function postcopyAimsOf(measurements: readonly PostcopyMeasurement[]): Aim[] {
  const own = measurements.filter(({ method }) => method.startsWith("QEMU"));
  const ours = measurements.filter(({ method }) => method.startsWith("pageferry"));
  return ours.flatMap(({ workload, link, method, linkBytes, downtimeMs, recoveryMs }) => {
    const title = `${workload}, ${link}, ${method}`;
    const aims: Aim[] = [];
    if (link === "unlimited") {
      const most = workload.endsWith("4 GiB") ? LARGE_POSTCOPY_DOWNTIME_MOST_MS : POSTCOPY_DOWNTIME_MOST_MS;
      aims.push({ what: `${title}: stop to running`, measured: downtimeMs, most, unit: " ms" });
    }
    if (workload === "redis" && link === "12.5 MB/s" && own.length > 0) {
      const seconds = (ms = Number.POSITIVE_INFINITY): number => ms / 1000;
      aims.push(
        {
          what: `${title}: until 90 % of the operations; the most is QEMU's`,
          measured: seconds(recoveryMs),
          most: Math.min(...own.map((measurement) => seconds(measurement.recoveryMs))),
          unit: " s",
        },
        {
          what: `${title}: bytes ÷ QEMU's`,
          measured: linkBytes / Math.min(...own.map((measurement) => measurement.linkBytes)),
          most: POSTCOPY_SHARE_OF_BYTES,
          unit: " ×",
        },
      );
    }
    return aims;
  });
}
