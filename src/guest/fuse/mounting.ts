import { spawn, spawnSync } from "node:child_process";
import { accessSync, closeSync, constants, lstatSync, openSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { basename, delimiter, dirname, join, resolve } from "node:path";
import { printable } from "../../wire/printable.js";
import { GuestError } from "../errors.js";

const DEVICE = "/dev/fuse";
/** What our mounts are called in the tables of mounts. */
const SOURCE = "pageferry";
const CAP_SYS_ADMIN = 1n << 21n;
/** Memory holds passwords and keys. */
const OWNER_ONLY = 0o600;
const MAX_COMPLAINT_LENGTH = 500;

/** Why no file can be served here, as a sentence; undefined where one can. Linux's capabilities: capabilities(7). */
export function fuseUnavailable(): string | undefined {
  if (process.platform !== "linux") return "Serving memory as a file needs Linux.";
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1];
  if (effective === undefined || (BigInt(`0x${effective}`) & CAP_SYS_ADMIN) === 0n) {
    return "Serving memory as a file needs root, or the capability CAP_SYS_ADMIN.";
  }
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
  } catch (error) {
    return `Serving memory as a file needs ${DEVICE}, which cannot be opened here (${(error as NodeJS.ErrnoException).code}).`;
  }
  const missing = ["mount", "umount"].find((name) => findProgram(name) === undefined);
  return missing === undefined ? undefined : `Serving memory as a file needs the program ${missing}.`;
}

function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A regular file that can be mounted over. */
export interface MountPoint {
  /** Without symbolic links on the way. */
  readonly path: string;
  /** It was made for this. */
  readonly isNew: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Makes way for a mount: takes away what servers that were killed have left there, which `onNotice` is told of, and makes the file where there is
 * none. Throws `lazy-unavailable`, also where something is mounted there that is in use, and `argument` where the path is no regular file.
 */
export async function prepareMountPoint(path: string, onNotice: (sentence: string) => void): Promise<MountPoint> {
  const place = placeOf(path);
  for (let top = mountsAt(place).at(-1); top !== undefined; top = mountsAt(place).at(-1)) {
    if (top.type !== "fuse" || top.source !== SOURCE) {
      throw new GuestError("lazy-unavailable", `Something else is mounted at ${place} (${top.source}).`);
    }
    if (await isAlive(place)) {
      throw new GuestError("lazy-unavailable", `${place} is being served already, by another process of pageferry.`);
    }
    await runUnmount(place);
    onNotice(`${place} was left mounted by a process that was killed. That mount has been removed.`);
  }
  const isNew = makeFile(place);
  const stat = lstatSync(place);
  if (!stat.isFile()) throw new GuestError("argument", `${place} is not a regular file.`);
  return { path: place, isNew, mode: stat.mode & 0o777, uid: stat.uid, gid: stat.gid };
}

/** The path of a file without symbolic links on the way to it. It is not looked at itself: it may be a mount. Throws `argument`. */
export function placeOf(path: string): string {
  const folder = dirname(resolve(path));
  try {
    return join(realpathSync(folder), basename(path));
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code;
    throw new GuestError("argument", `The folder ${folder} cannot be reached: ${why}.`, { cause });
  }
}

function makeFile(path: string): boolean {
  try {
    closeSync(openSync(path, "wx", OWNER_ONLY));
    return true;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    throw new GuestError("argument", `${path} cannot be made: ${code}.`, { cause });
  }
}

/** Whether somebody serves the mount. Nothing of this is answered from what the kernel remembers, unlike a stat(2). */
async function isAlive(path: string): Promise<boolean> {
  try {
    await statfs(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENOTCONN";
  }
}

/** A mount, as the kernel lists it. */
interface Mount {
  /** The device number of its file system, "0:47", which no other has while this one is there. */
  readonly device: string;
  readonly type: string;
  readonly source: string;
}

/** What is mounted at a path, the last one on top. Layout: proc_pid_mountinfo(5). */
function mountsAt(path: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , device = "", , place = ""] = before.split(" ");
    if (unescapePath(place) !== path) continue;
    const [type = "", source = ""] = after.split(" ");
    mounts.push({ device, type, source: unescapePath(source) });
  }
  return mounts;
}

/** The device number of what is mounted at a path. */
export function deviceAt(path: string): string | undefined {
  return mountsAt(path).at(-1)?.device;
}

/** Spaces and the like stand there as three octal digits, of the bytes of the text. */
function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** A mount of this process. */
export interface OwnMount {
  readonly path: string;
  readonly device: string;
}

/** Opens the device, whose descriptor becomes the connection to the kernel with the mount. Throws `lazy-unavailable`. */
export function openDevice(): number {
  try {
    return openSync(DEVICE, "r+");
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code;
    throw new GuestError("lazy-unavailable", `${DEVICE} cannot be opened: ${why}.`, { cause });
  }
}

/** Mounts over a regular file. Throws `lazy-unavailable` with what the system says. */
export async function mountOver(path: string, device: number): Promise<OwnMount> {
  // The mount point itself is the file: of a regular file, not a folder.
  const options = "fd=3,rootmode=100000,user_id=0,group_id=0,allow_other,default_permissions,nosuid,nodev";
  // Only what mount(8) itself does is wanted, not a helper of libfuse.
  const { status, complaint } = await run("mount", ["-i", "-t", "fuse", SOURCE, path, "-o", options], device);
  if (status !== 0) throw new GuestError("lazy-unavailable", `${path} cannot be mounted over: ${complaint}.`);
  const mount = mountsAt(path).at(-1);
  if (mount?.source !== SOURCE) throw new GuestError("lazy-unavailable", `${path} was mounted over by somebody else.`);
  return { path, device: mount.device };
}

/** `-c`: without a look at the file, which its server could not answer. `-f`: who waits for a page gets an error, nobody waits for the device any more. `-l`: also where it is in use. */
const UNMOUNT = ["-c", "-f", "-i", "-l"];

/** Takes the mount away, unless it has gone. Throws `lazy-unavailable`, also where something else was mounted over it. */
export async function unmount({ path, device }: OwnMount): Promise<void> {
  const mounts = mountsAt(path);
  if (mounts.at(-1)?.device === device) return runUnmount(path);
  if (mounts.every((mount) => mount.device !== device)) return;
  throw new GuestError("lazy-unavailable", `${path} cannot be unmounted: something else was mounted over it.`);
}

/** The same, without a return to the event loop. Returns whether it has gone. */
export function unmountNow({ path, device }: OwnMount): boolean {
  if (mountsAt(path).at(-1)?.device !== device) return false;
  return spawnSync(findProgram("umount") ?? "umount", [...UNMOUNT, path], { stdio: "ignore" }).status === 0;
}

async function runUnmount(path: string): Promise<void> {
  const { status, complaint } = await run("umount", [...UNMOUNT, path]);
  if (status !== 0) throw new GuestError("lazy-unavailable", `${path} cannot be unmounted: ${complaint}.`);
}

/** Removes what {@link prepareMountPoint} made. */
export function removeMountPoint({ path, isNew }: MountPoint): void {
  if (isNew) rmSync(path, { force: true });
}

/** With a descriptor to pass on as 3. */
function run(
  program: string,
  parameters: readonly string[],
  descriptor?: number,
): Promise<{ readonly status: number | null; readonly complaint: string }> {
  return new Promise((resolve, reject) => {
    const stdio = ["ignore", "ignore", "pipe", ...(descriptor === undefined ? [] : [descriptor])] as const;
    // Not of this process's group: a key that ends this process must not end what unmounts its file.
    const child = spawn(findProgram(program) ?? program, parameters, { stdio: [...stdio], detached: true });
    let complaint = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + printable(text)).slice(0, MAX_COMPLAINT_LENGTH);
    });
    child.once("error", (cause) => {
      reject(new GuestError("lazy-unavailable", `${program} cannot be started: ${cause.message}.`, { cause }));
    });
    child.once("close", (status) => resolve({ status, complaint: complaint.trim().replace(/\.$/, "") }));
  });
}
