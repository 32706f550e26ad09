import type { Guest } from "../guest/guest.js";
import type { ConvergenceLimits } from "./convergence.js";
import { sampleDirtyRate } from "./dirty-sample.js";
import type { MemoryLayout } from "./layout.js";
import { type Forecast, predictConvergence } from "./prediction.js";
import type { MeasuredLink } from "./probe.js";

/** What a first round usually takes of the memory that is in use, and how fast memory is scanned. */
const USUAL_SHARE = 0.4;
const USUAL_SCAN_BYTES_PER_SECOND = 4e9;

/** What a pre-copy of a guest over a link would come to, by a look at the guest's writes; nothing of the machine is sent. */
export async function forecastPrecopy(
  guest: Guest,
  layout: MemoryLayout,
  { bytesPerSecond, roundTripMs }: MeasuredLink,
  pausedSpeedup: number,
  { downtimeLimitMs, maxTimeMs, maxRounds }: Omit<ConvergenceLimits, "onStall">,
): Promise<Forecast> {
  const sample = await sampleDirtyRate(guest, layout);
  const memoryBytes = sample.allocatedPages * layout.pageBytes;
  return predictConvergence({
    ...sample,
    firstRoundBytes: memoryBytes * USUAL_SHARE,
    linkBytesPerSecond: bytesPerSecond,
    roundTripMs,
    scanMs: ((memoryBytes / USUAL_SCAN_BYTES_PER_SECOND) * 1000) / pausedSpeedup,
    downtimeLimitMs,
    maxTimeMs,
    maxRounds,
  });
}
