import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { fuseUnavailable } from "../../src/guest/fuse/mounting.js";
import { findProgram } from "./require.js";

const execute = promisify(execFile);

/** Why no file can be mounted here; undefined where one can. Throws instead under PAGEFERRY_REQUIRE=all. */
export function fuseMissing(): string | undefined {
  const programs = ["gcc", "setpriv"].filter((name) => findProgram(name) === undefined);
  const reason = programs.length > 0 ? `not installed: ${programs.join(", ")}` : fuseUnavailable();
  if (reason !== undefined && process.env["PAGEFERRY_REQUIRE"] === "all") throw new Error(reason);
  return reason;
}

/** How many mounts there are at a path. */
export async function mountsAt(path: string): Promise<number> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).split("\n");
  return lines.filter((line) => line.split(" ")[1]?.replaceAll("\\040", " ") === path).length;
}

/** A program that maps a file privately, as a virtual machine does its RAM. */
export class Mapper {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async compile(): Promise<Mapper> {
    const folder = await mkdtemp(join(tmpdir(), "pageferry-"));
    const source = new URL("mapper.c", import.meta.url).pathname;
    await execute("gcc", ["-Wall", "-Wextra", "-Werror", "-o", join(folder, "mapper"), source]);
    return new Mapper(folder);
  }

  /** Reads the byte at each of these offsets, in turn, and changes it in its own copy. Gives each byte, "SIGBUS" where it cannot be had. */
  async touch(path: string, ...offsets: readonly number[]): Promise<string[]> {
    const { stdout } = await execute(join(this.#folder, "mapper"), [path, ...offsets.map(String)]);
    return stdout.trim().split("\n");
  }

  /** The same by a process that keeps the file then, as soon as it has touched the last one. */
  async hold(path: string, ...offsets: readonly number[]): Promise<ChildProcess> {
    const words = [path, ...offsets.map(String), "hold"];
    const holder = spawn(join(this.#folder, "mapper"), words, { stdio: ["ignore", "pipe", "inherit"] });
    let touched = 0;
    for await (const _ of createInterface({ input: holder.stdout })) if (++touched === offsets.length) break;
    return holder;
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }
}
