import { setTimeout as delay } from "node:timers/promises";
import { continuity } from "../../test/lab/counter.js";
import { LabMachine } from "../../test/lab/machine.js";
import { type Combination, linkName, machineOptions } from "./combination.js";
import { Link } from "./link.js";
import type { PostcopyFigures, PostcopyMethod, PostcopyPlace } from "./move.js";
import { extrapolate, rateBetween, recoveredAtMs, type Sample } from "./samples.js";
import { takeSample, takeSamples } from "./sampling.js";

/** A method by which the memory follows the machine at a combination, once. Rates are 0 for a guest that does nothing. */
export interface PostcopyMeasurement extends PostcopyFigures {
  readonly workload: string;
  readonly link: string;
  readonly method: string;
  /** From the machine's stop at the source until it ran at the destination, by QEMU's clock. */
  readonly downtimeMs: number;
  /** From its stop until its next number was read at the destination. It counts ten times a second: up to 100 ms of it are the guest's own pause. */
  readonly firstCountMs: number;
  /** Whether the guest lost nothing: its counter, its files and its writer's pages. */
  readonly isSound: boolean;
  readonly operationsPerSecondBefore: number;
  /** From before the move until the source was not needed any more. */
  readonly operationsPerSecondDuring: number;
  /** In the first ten seconds at the destination, or until the first answer after them. */
  readonly operationsPerSecondAfter: number;
  /** From its first moment at the destination until a second began with 90 % of the rate before. Undefined where none did, and for an idle guest. */
  readonly recoveryMs: number | undefined;
  /** What the guest said at the destination, and first what it would have said when it left; times are from its first moment there. */
  readonly samples: readonly Sample[];
}

const SETTLE_MS = 1000;
const BEFORE_MS = 3000;
const AFTER_MS = 10_000;
const RECOVERY_TIMEOUT_MS = 90_000;

/** Moves a fresh machine, and asks it before and afterwards how it gets on. */
export async function measurePostcopy(combination: Combination, method: PostcopyMethod): Promise<PostcopyMeasurement> {
  const { workload, link: shape } = combination;
  const options = machineOptions(combination);
  const source = await LabMachine.start(options);
  let place: PostcopyPlace | undefined;
  let link: Link | undefined;
  try {
    await source.waitForReady();
    place = await method.prepare(options);
    await delay(SETTLE_MS);
    // Asking costs the guest something: it is asked as often before as it is afterwards.
    const startMs = Date.now();
    const before = await takeSamples(source, ({ answeredMs }) => answeredMs - startMs >= BEFORE_MS);
    const [first, start] = [before[0], before.at(-1)] as [Sample, Sample];
    const rate = rateBetween(first, start);
    const { destination, stoppedMs, runningMs, end } = await place.switchOver({
      source,
      shape,
      link: () => link,
      async linkTo(port) {
        if (shape.bytesPerSecond === undefined && shape.roundTripMs === 0) return port;
        link = await Link.open(shape, port);
        return link.port;
      },
    });
    const samples: Sample[] = [{ ...extrapolate(start, rate, stoppedMs), askedMs: runningMs, answeredMs: runningMs }];
    const isIdle = workload.workload.kind === "idle";
    const isEnough = (sample: Sample): boolean => {
      samples.push(sample);
      const sinceMs = sample.answeredMs - runningMs;
      if (sinceMs < AFTER_MS) return false;
      return isIdle || sinceMs > RECOVERY_TIMEOUT_MS || recoveredAtMs(before, samples) !== undefined;
    };
    const [firstCountAtMs, [figures, last]] = await Promise.all([
      destination.waitForReady().then(() => Date.now()),
      end.then(async (ended) => [ended, await takeSample(destination)] as const),
      takeSamples(destination, isEnough),
    ]);
    const tenth = samples.find(({ answeredMs }) => answeredMs - runningMs >= AFTER_MS) as Sample;
    const recoveredMs = isIdle ? undefined : recoveredAtMs(before, samples);
    return {
      workload: workload.name,
      link: linkName(shape),
      method: method.name,
      ...figures,
      downtimeMs: runningMs - stoppedMs,
      firstCountMs: firstCountAtMs - stoppedMs,
      isSound: await isSound(source, destination, workload.workload.kind === "writer"),
      operationsPerSecondBefore: rate,
      operationsPerSecondDuring: rateBetween(start, last),
      operationsPerSecondAfter: rateBetween(samples[0] as Sample, tenth),
      recoveryMs: recoveredMs === undefined ? undefined : recoveredMs - runningMs,
      samples: samples.map(({ operations, askedMs, answeredMs }) => ({
        operations,
        askedMs: askedMs - runningMs,
        answeredMs: answeredMs - runningMs,
      })),
    };
  } finally {
    await link?.close();
    await source.stop();
    await place?.stop();
  }
}

async function isSound(source: LabMachine, destination: LabMachine, isWriter: boolean): Promise<boolean> {
  if (continuity(source.printed, destination.printed).breaks.length > 0) return false;
  if (!(await destination.verifyManifest())) return false;
  return !isWriter || (await destination.checkWriter()) === 0;
}
