import { execFile, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { poll, within } from "./wait.js";

const PREFIX = "pageferry-lab-";
const END_TIMEOUT_MS = 30_000;
const UNMOUNT_TIMEOUT_MS = 5000;
const execute = promisify(execFile);
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
  // A RAM file that fills itself goes away shortly after its machine, unless it waits for one that is gone.
  for (const path of mountsIn(folder)) spawnSync("umount", ["-l", path]);
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

/**
 * Resolves when nothing is mounted in the folder of a machine that was killed. Who serves its RAM file notices that, but not where the machine waits for
 * pages that never come: then it cannot even end, and its file is taken away from it.
 */
export async function unmounted(folder: string): Promise<void> {
  const forceAtMs = performance.now() + UNMOUNT_TIMEOUT_MS;
  await within(`A file in ${folder} was not unmounted`, END_TIMEOUT_MS, new AbortController().signal, (signal) =>
    poll(async () => {
      const [mounted] = mountsIn(folder);
      if (mounted === undefined) return true;
      // It says that the file is in use; what waits for it is let go of all the same.
      if (performance.now() > forceAtMs) await execute("umount", ["-f", mounted]).catch(() => {});
      return undefined;
    }, signal),
  );
}

function mountsIn(folder: string): string[] {
  const places = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return places.map((line) => line.split(" ")[1] ?? "").filter((place) => place.startsWith(`${folder}/`));
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
