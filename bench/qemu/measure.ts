import { setTimeout as delay } from "node:timers/promises";
import { LabMachine } from "../../test/lab/machine.js";
import { type Combination, linkName, machineOptions } from "./combination.js";
import { Link } from "./link.js";
import type { Method, MoveFigures } from "./move.js";

/** A method at a combination, once. */
export interface Measurement extends MoveFigures {
  readonly workload: string;
  readonly link: string;
  readonly method: string;
  readonly operationsPerSecondBefore: number;
  /** Undefined where the machine did not get through it. */
  readonly operationsPerSecondDuring: number | undefined;
}

const SETTLE_MS = 1000;
const BEFORE_MS = 2000;
/** What is aimed at, and elsewhere what QEMU allows itself. */
const AIMED_DOWNTIME_MS = 100;
const USUAL_DOWNTIME_MS = 300;

/** Moves a fresh machine. */
export async function measure(combination: Combination, method: Method): Promise<Measurement> {
  const { workload, link: shape, hasAims } = combination;
  const options = machineOptions(combination);
  const source = await LabMachine.start(options);
  let destination: LabMachine | undefined;
  let link: Link | undefined;
  try {
    await source.waitForReady();
    destination = await LabMachine.start({ ...options, incoming: "defer", extraArguments: method.extraArguments });
    await delay(SETTLE_MS);
    const before = await rateOf(source, BEFORE_MS);
    const start = await sampleOf(source);
    const figures = await method.move({
      source,
      destination,
      shape,
      downtimeLimitMs: hasAims ? AIMED_DOWNTIME_MS : USUAL_DOWNTIME_MS,
      link: () => link,
      async linkTo(port) {
        if (shape.bytesPerSecond === undefined && shape.roundTripMs === 0) return port;
        link = await Link.open(shape, port);
        return link.port;
      },
    });
    const isSound = figures.hasConverged && figures.isEqual === true;
    const end = isSound ? await sampleOf(destination) : undefined;
    return {
      workload: workload.name,
      link: linkName(shape),
      method: method.name,
      ...figures,
      operationsPerSecondBefore: before,
      operationsPerSecondDuring: end && perSecond(start, end),
    };
  } finally {
    await link?.close();
    await source.stop();
    await destination?.stop();
  }
}

interface Sample {
  readonly operations: number;
  readonly atMs: number;
}

async function sampleOf(machine: LabMachine): Promise<Sample> {
  const operations = await machine.operations();
  return { operations, atMs: performance.now() };
}

async function rateOf(machine: LabMachine, durationMs: number): Promise<number> {
  const start = await sampleOf(machine);
  await delay(durationMs);
  return perSecond(start, await sampleOf(machine));
}

function perSecond(start: Sample, end: Sample): number {
  return ((end.operations - start.operations) / (end.atMs - start.atMs)) * 1000;
}
