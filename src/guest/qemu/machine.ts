import * as v from "valibot";
import { GuestError } from "../errors.js";
import type { Machine } from "../guest.js";
import type { QmpClient } from "./qmp.js";
import { findRamFiles, type RamFile } from "./ram.js";

/** QEMU's x86 machines and most others have pages of this size; larger ones are moved in parts. */
export const PAGE_BYTES = 4096;

const KIND = "qemu";

/** What `query-status` says of a machine. */
export interface RunState {
  readonly isRunning: boolean;
  /** "running", "paused", "inmigrate", "postmigrate", … */
  readonly status: string;
}

/** Whether a machine runs. */
export async function runStateOf(qmp: QmpClient): Promise<RunState> {
  const shape = v.object({ running: v.boolean(), status: v.string() });
  const { running, status } = v.parse(shape, await qmp.execute("query-status"));
  return { isRunning: running, status };
}

/** Its type with the version in it, such as "pc-q35-7.2-machine". */
export async function machineTypeOf(qmp: QmpClient): Promise<string> {
  return v.parse(v.string(), await qmp.execute("qom-get", { path: "/machine", property: "type" }));
}

/** What QEMU was told to call the machine by `-name`. */
export async function nameOf(qmp: QmpClient): Promise<string | undefined> {
  return v.parse(v.object({ name: v.optional(v.string()) }), await qmp.execute("query-name")).name;
}

/** How a QEMU's machine is announced. */
export function describeMachine(name: string, type: string, files: readonly RamFile[], isRunning: boolean): Machine {
  return {
    name,
    kind: KIND,
    pageBytes: PAGE_BYTES,
    regions: files.map(({ name: id, byteLength }) => ({ name: id, byteLength })),
    configuration: { machineType: type, isRunning },
  };
}

/**
 * The RAM files of the waiting QEMU in the order of the announced machine's regions, and whether the machine shall run. Where files are `served`, by their paths,
 * these must be they. Throws `machine-unfit` where
 * the two QEMUs were not started alike.
 */
export async function matchMachine(
  qmp: QmpClient,
  { kind, pageBytes, regions, configuration }: Machine,
  served: readonly string[],
): Promise<{ readonly files: readonly RamFile[]; readonly isRunning: boolean }> {
  const { machineType, isRunning } = configuration;
  if (kind !== KIND || pageBytes !== PAGE_BYTES || typeof machineType !== "string" || typeof isRunning !== "boolean") {
    throw new GuestError("machine-unfit", "This host takes machines of QEMU only.");
  }
  const type = await machineTypeOf(qmp);
  if (type !== machineType) {
    throw new GuestError("machine-unfit", `The machine is a ${machineType}; the QEMU that waits here has a ${type}.`);
  }
  const { status } = await runStateOf(qmp);
  if (status !== "inmigrate") {
    throw new GuestError("machine-unfit", `The QEMU here is ${status}; it must be started with -incoming defer.`);
  }
  const found = await findRamFiles(qmp, served);
  const files = regions.map(({ name, byteLength }) => {
    const file = found.find((candidate) => candidate.name === name && candidate.byteLength === byteLength);
    if (file !== undefined) return file;
    const message = `The QEMU here has no memory backend ${JSON.stringify(name)} of ${byteLength} bytes, as the machine has.`;
    throw new GuestError("machine-unfit", message);
  });
  if (files.length === found.length) return { files, isRunning };
  throw new GuestError("machine-unfit", "The QEMU here has more memory backends than the machine.");
}
