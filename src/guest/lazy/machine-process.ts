import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { GuestError } from "../errors.js";
import { HOST_PAGE_BYTES, PAGEMAP_ENTRY_BYTES, PAGEMAP_PRESENT, processes, procText } from "../proc.js";

const STOP_TIMEOUT_MS = 5000;
const RETRY_MS = 5;
/** Of the last byte of an entry of pagemap. */
const SWAPPED = 0x40;
const OF_A_FILE = 0x20;

/** A part of a file that a process has in its address space. */
interface Mapping {
  readonly pid: number;
  readonly address: number;
  readonly byteLength: number;
  /** Where it begins in the file. */
  readonly offset: number;
}

/** The processes that have a served file mapped: a machine, whose own writes are to be had only from them. */
export class MachineProcess {
  readonly #mappings: readonly Mapping[];

  private constructor(mappings: readonly Mapping[]) {
    this.#mappings = mappings;
  }

  /** Those that map the file of that device, "0:47". Only root sees those of others. */
  static find(device: string): MachineProcess {
    const wanted = device.split(":").map(Number).join(":");
    return new MachineProcess(processes().flatMap((pid) => mappingsOf(pid, wanted)));
  }

  get pids(): readonly number[] {
    return [...new Set(this.#mappings.map(({ pid }) => pid))];
  }

  /** Lets it do nothing more; it can be looked at when this resolves. Throws `guest-failed`. */
  async stop(): Promise<void> {
    for (const pid of this.pids) signal(pid, "SIGSTOP");
    for (const endMs = performance.now() + STOP_TIMEOUT_MS; !this.pids.every(standsStill); await delay(RETRY_MS)) {
      if (performance.now() > endMs) throw new GuestError("guest-failed", "The machine's process does not stop.");
    }
  }

  /** Ends it; it has gone when this resolves. */
  async kill(): Promise<void> {
    for (const pid of this.pids) signal(pid, "SIGKILL");
    while (this.pids.some((pid) => tasksOf(pid).length > 0)) await delay(RETRY_MS);
  }

  /**
   * Puts the pages of 4096 bytes that it has written to over those of the file, from byte `position` on. Returns which, counted from there. Throws
   * `guest-failed`, and what the file system says.
   */
  overlay(position: number, into: Uint8Array): number[] {
    return this.#mappings.flatMap((mapping) => overlayFrom(mapping, position, into));
  }
}

/** Does nothing where it has ended. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function overlayFrom({ pid, address, byteLength, offset }: Mapping, position: number, into: Uint8Array): number[] {
  const start = Math.max(position, offset);
  const end = Math.min(position + into.length, offset + byteLength);
  if (start >= end) return [];
  const first = address + start - offset;
  const entries = new Uint8Array(((end - start) / HOST_PAGE_BYTES) * PAGEMAP_ENTRY_BYTES);
  readAll(pid, "pagemap", (first / HOST_PAGE_BYTES) * PAGEMAP_ENTRY_BYTES, entries);
  const own: number[] = [];
  for (let page = 0; page < entries.length / PAGEMAP_ENTRY_BYTES; page++) {
    const bits = entries[page * PAGEMAP_ENTRY_BYTES + PAGEMAP_ENTRY_BYTES - 1] as number;
    if ((bits & (PAGEMAP_PRESENT | SWAPPED)) === 0 || (bits & OF_A_FILE) !== 0) continue;
    const at = start - position + page * HOST_PAGE_BYTES;
    readAll(pid, "mem", first + page * HOST_PAGE_BYTES, into.subarray(at, at + HOST_PAGE_BYTES));
    own.push(at / HOST_PAGE_BYTES);
  }
  return own;
}

function readAll(pid: number, name: "mem" | "pagemap", position: number, into: Uint8Array): void {
  const file = openSync(`/proc/${pid}/${name}`, "r");
  try {
    for (let done = 0; done < into.length; ) {
      const count = readSync(file, into, done, into.length - done, position + done);
      if (count === 0) throw new GuestError("guest-failed", `The memory of process ${pid} cannot be read.`);
      done += count;
    }
  } finally {
    closeSync(file);
  }
}

/** Layout: proc_pid_maps(5). */
function mappingsOf(pid: number, device: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of procText(`/proc/${pid}/maps`).split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) /.exec(line);
    if (match === null) continue;
    const numbers = match.slice(1).map((hex) => Number.parseInt(hex, 16)) as [number, number, number, number, number];
    const [address, end, offset, major, minor] = numbers;
    if (`${major}:${minor}` === device) mappings.push({ pid, address, byteLength: end - address, offset });
  }
  return mappings;
}

/** Stopped, ended, or waiting inside the kernel, for a page that will not come. (Layout: proc_pid_stat(5); the name may hold anything.) */
function standsStill(pid: number): boolean {
  return tasksOf(pid).every((task) => {
    const stat = procText(`/proc/${pid}/task/${task}/stat`);
    return /^[TtDZX]?$/.test(stat.slice(stat.lastIndexOf(")") + 2)[0] ?? "");
  });
}

/** Its threads; a process that has ended and has not been waited for has none. */
function tasksOf(pid: number): string[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.filter((task) => !/\) [ZX] /.test(procText(`/proc/${pid}/task/${task}/stat`)));
  } catch {
    return [];
  }
}
