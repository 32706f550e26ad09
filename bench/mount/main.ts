import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type BenchChain, writeChain } from "./chain.js";

/*
 * Mounts a base image with patches by the command, as a user does, and reads it: how long it takes from the start of the process until it says that the file
 * is ready and until its first byte can be read, and how fast it is read, each time from a new mount.
 */

const IMAGE_BYTES = 256 << 20;
const PATCHES = 5;
const STARTS = 15;
const RUNS = 3;
const COMMAND = new URL("../../../dist/cli/main.js", import.meta.url).pathname;
const READER = new URL("reader.js", import.meta.url).pathname;

/** What the process that reads says. */
export interface ReadReport {
  readonly seconds: number;
  readonly reads: number;
}

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "pageferry-bench-"));
// What is known of images from other times is left alone.
process.env["XDG_CACHE_HOME"] = join(folder, "cache");

/** A mount that is there. */
interface Mounted {
  readonly path: string;
  readonly readyMs: number;
  end(): Promise<void>;
}

async function mount({ basePath, patchPaths }: BenchChain): Promise<Mounted> {
  const path = join(folder, "mounted");
  const start = performance.now();
  const child = spawn(process.execPath, [COMMAND, "mount", basePath, ...patchPaths, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  await Promise.race([once(child.stdout, "data"), ended.then(() => Promise.reject(new Error("It did not mount.")))]);
  const readyMs = performance.now() - start;
  const end = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
  };
  return { path, readyMs, end };
}

async function read(how: "sequential" | "random", path: string): Promise<ReadReport> {
  const { stdout } = await run(process.execPath, [READER, how, path, String(IMAGE_BYTES)]);
  return JSON.parse(stdout) as ReadReport;
}

/** How long it takes from the start of a process of Node to its end. */
async function nodeMs(): Promise<number> {
  const start = performance.now();
  await run(process.execPath, ["--eval", "0"]);
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[values.length >> 1] as number;
}

function print(figure: string, values: readonly number[], unit: string, aim: string): void {
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => value.toPrecision(3));
  console.log(`| ${figure} | ${median(values).toPrecision(3)} ${unit} | ${least}–${most} | ${aim} |`);
}

async function measureStart(chain: BenchChain): Promise<void> {
  const node: number[] = [];
  const ready: number[] = [];
  const first: number[] = [];
  for (let start = 0; start < STARTS; start++) {
    node.push(await nodeMs());
    const startMs = performance.now();
    const mounted = await mount(chain);
    ready.push(mounted.readyMs);
    await run("head", ["-c", "1", mounted.path]);
    first.push(performance.now() - startMs);
    await mounted.end();
  }
  print("Node alone, from start to end", node, "ms", "");
  print("ready after the start of the process", ready, "ms", "≤ 50");
  print("first byte read by `head`", first, "ms", "");
}

async function measureReads(chain: BenchChain): Promise<void> {
  const megabytes = ({ seconds }: ReadReport): number => IMAGE_BYTES / 1e6 / seconds;
  const rate = ({ seconds, reads }: ReadReport): number => reads / seconds;
  const figures: Record<"cold" | "random" | "warm" | "warmRandom", number[]> = {
    cold: [],
    random: [],
    warm: [],
    warmRandom: [],
  };
  for (let round = 0; round < RUNS; round++) {
    const sequential = await mount(chain);
    figures.cold.push(megabytes(await read("sequential", sequential.path)));
    check(sequential.path, chain.last);
    figures.warm.push(megabytes(await read("sequential", sequential.path)));
    await sequential.end();
    const random = await mount(chain);
    figures.random.push(rate(await read("random", random.path)));
    figures.warmRandom.push(rate(await read("random", random.path)));
    await random.end();
  }
  print("read from beginning to end, right after the start", figures.cold, "MB/s", "≥ 400");
  print("the same again", figures.warm, "MB/s", "");
  print("pages of 4 KiB in random order, each once, right after the start", figures.random, "/s", "≥ 20000");
  print("the same again", figures.warmRandom, "/s", "");
}

/** Throws where the file is not what the patches were made of. */
function check(path: string, image: Uint8Array): void {
  const file = openSync(path, "r");
  const bytes = new Uint8Array(image.length);
  for (let at = 0; at < bytes.length; ) at += readSync(file, bytes, at, bytes.length - at, at);
  if (Buffer.compare(bytes, image) !== 0) throw new Error("The mounted image is another than the patches make.");
}

try {
  console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores, Node ${process.versions.node}`);
  console.log(`Load before: ${readFileSync("/proc/loadavg", "latin1").split(" ")[0]}\n`);
  const chain = await writeChain(folder, IMAGE_BYTES, PATCHES);
  console.log("| figure | median | least–most | aim |\n|---|---:|---:|---|");
  await measureStart(chain);
  await measureReads(chain);
} finally {
  rmSync(folder, { recursive: true });
}
