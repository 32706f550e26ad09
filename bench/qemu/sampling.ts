import { setTimeout as delay } from "node:timers/promises";
import type { LabMachine } from "../../test/lab/machine.js";
import type { Sample } from "./samples.js";

const PERIOD_MS = 250;

/** Asks a guest what it has done so far; times are milliseconds since 1970. */
export async function takeSample(machine: LabMachine): Promise<Sample> {
  const askedMs = Date.now();
  return { operations: await machine.operations(), askedMs, answeredMs: Date.now() };
}

/** Asks it four times a second, as far as it answers so fast, until it is enough. */
export async function takeSamples(machine: LabMachine, isEnough: (sample: Sample) => boolean): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (;;) {
    const sample = await takeSample(machine);
    samples.push(sample);
    if (isEnough(sample)) return samples;
    await delay(Math.max(0, sample.askedMs + PERIOD_MS - Date.now()));
  }
}
