import { readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { poll, within } from "./wait.js";

const PREFIX = "pageferry-lab-";
const END_TIMEOUT_MS = 30_000;
const ours = new Set<string>();
process.once("exit", () => {
  for (const folder of ours) removeMachineFolder(folder);
});

/** A new folder for a machine. Whatever becomes of this process, its machine is killed and the folder removed: at the latest by the next one. */
export async function machineFolder(parent: string): Promise<string> {
  for (const name of await readdir(parent)) {
    const owner = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner))) removeMachineFolder(join(parent, name));
  }
  const folder = await mkdtemp(join(parent, `${PREFIX}${process.pid}-`));
  ours.add(folder);
  return folder;
}

/** Kills the machine whose folder this is, if it runs, and removes the folder. */
export function removeMachineFolder(folder: string): void {
  killMachine(folder);
  // A RAM file that fills itself goes away shortly after its machine.
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  ours.delete(folder);
}

/** Kills the machine whose folder this is; gives its process, undefined where it does not run. */
export function killMachine(folder: string): number | undefined {
  const pid = machineIn(folder);
  if (pid === undefined) return undefined;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
  return pid;
}

/** The process of the machine whose folder this is. */
export function machineIn(folder: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(folder, "pid"), "utf8"));
    // The number may be another process's by now.
    return commandLineOf(pid).includes(folder) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Resolves when a process that was killed has ended. */
export async function ended(pid: number): Promise<void> {
  await within(`The process ${pid} did not end`, END_TIMEOUT_MS, new AbortController().signal, (signal) =>
    // A process that has ended and is not collected yet has no command line.
    poll(async () => commandLineOf(pid) === "" || undefined, signal),
  );
}

/** Resolves when nothing is mounted in a folder any more. */
export async function unmounted(folder: string): Promise<void> {
  await within(`A file in ${folder} was not unmounted`, END_TIMEOUT_MS, new AbortController().signal, (signal) =>
    poll(async () => !readFileSync("/proc/self/mounts", "utf8").includes(` ${folder}/`) || undefined, signal),
  );
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function isAlive(pid: number): boolean {
  return readdirSync("/proc").includes(String(pid));
}
