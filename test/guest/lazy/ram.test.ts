import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
// As it is built: it starts a program.
import { LazyRam } from "../../../dist/guest/lazy/ram.js";
import { poll } from "../../lab/wait.js";
import { fuseMissing, Mapper, mountsAt } from "../../support/fuse.js";
import { findProgram } from "../../support/require.js";

const execute = promisify(execFile);
const PAGE_BYTES = 4096;
const PAGES = 64;
const BYTES = PAGES * PAGE_BYTES;
const WAIT_MS = 20_000;
const RECEIVER = new URL("receive.js", import.meta.url).pathname;

const reason = fuseMissing() ?? (findProgram("fincore") === undefined ? "fincore is not installed" : undefined);
let mapper: Mapper;
let folder: string;
const cleanups: (() => unknown)[] = [];

const until = (isSo: () => Promise<boolean>): Promise<true> =>
  poll(async () => (await isSo()) || undefined, AbortSignal.timeout(WAIT_MS));
const hasGone = (path: string): Promise<true> => until(async () => (await mountsAt(path)) === 0);

async function mount(...names: string[]): Promise<LazyRam> {
  const files = names.map((name) => ({ path: join(folder, name), byteLength: BYTES }));
  const ram = await LazyRam.mount({ files, pageBytes: PAGE_BYTES, onNotice: (sentence) => expect.fail(sentence) });
  ram.arrange(files.map(({ path }, index) => ({ name: names[index] as string, path })));
  cleanups.push(() => ram.discard());
  return ram;
}

/** Page `page`, through all files, arrives: full of its number. */
function arrive(ram: LazyRam, page: number, count = 1): void {
  for (let at = page; at < page + count; at++) {
    const { file } = ram.files[Math.floor(at / PAGES)] as (typeof ram.files)[number];
    writeSync(file, Buffer.alloc(PAGE_BYTES, at), 0, PAGE_BYTES, (at % PAGES) * PAGE_BYTES);
  }
  ram.arrived(page, count);
}

/** A process that has a file of 16 pages served, and what it says. */
class Receiver {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(path: string) {
    this.process = spawn(process.execPath, [RECEIVER, path], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.process.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    cleanups.push(() => this.process.kill("SIGKILL"));
  }

  async line(): Promise<string> {
    return (await this.#lines.next()).value;
  }

  async tell(word: string): Promise<void> {
    this.process.stdin?.write(`${word}\n`);
    expect(await this.line()).toBe(word);
  }
}

async function receive(path: string): Promise<Receiver> {
  const receiver = new Receiver(path);
  expect(await receiver.line()).toBe("mounted");
  return receiver;
}

/** Resolves when a process waits in the kernel. */
async function waitsForPage({ pid }: ChildProcess): Promise<void> {
  await until(async () => /request_wait_answer|folio_wait/.test(await readFile(`/proc/${pid}/wchan`, "latin1")));
}

async function hold(path: string, ...offsets: number[]): Promise<ChildProcess> {
  const holder = await mapper.hold(path, ...offsets);
  cleanups.push(() => holder.kill("SIGKILL"));
  return holder;
}

/** The process that serves a file. */
async function serverOf(path: string): Promise<number> {
  const { stdout } = await execute("ps", ["-eo", "pid,args"]);
  const line = stdout.split("\n").find((each) => each.includes("server-process.js") && each.includes(`"${path}"`));
  return Number(line?.trim().split(" ")[0]);
}

describe.skipIf(reason !== undefined)(`memory that is served before it is there (${reason ?? "available"})`, () => {
  beforeAll(async () => {
    mapper = await Mapper.compile();
  });
  afterAll(() => mapper.remove());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "pageferry-lazy-"));
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    await rm(folder, { recursive: true });
  });

  it("comes as it is touched, and stays as long as it is used", async () => {
    const ram = await mount("one", "two");
    const path = join(folder, "two");
    const asked: [number, number][] = [];
    ram.onFault = (first, count) => {
      asked.push([first, count]);
      arrive(ram, first, count);
    };
    const holder = await hold(path, 5 * PAGE_BYTES, 9 * PAGE_BYTES, 5 * PAGE_BYTES + 1);
    const other = await hold(join(folder, "one"), 0);
    await ram.commit();
    expect(asked).toEqual([
      [PAGES + 5, 1],
      [PAGES + 9, 1],
      [0, 1],
    ]);
    const { faults, meanMs, maxMs } = await ram.faultReport();
    expect(faults).toBe(3);
    expect(maxMs).toBeGreaterThanOrEqual(meanMs);
    arrive(ram, 0, PAGES);
    arrive(ram, PAGES, PAGES);
    await ram.complete();
    expect(await mapper.touch(path, 7 * PAGE_BYTES)).toEqual([String(PAGES + 7)]);
    other.kill();
    await once(other, "exit");
    expect(await mountsAt(path)).toBe(1);
    holder.kill();
    await hasGone(path);
    await until(async () => (await readdir(folder)).length === 0);
  });

  it("tells of touches once somebody wants to know", async () => {
    const ram = await mount("one");
    const path = join(folder, "one");
    const reader = spawn("cat", [path], { stdio: "ignore" });
    cleanups.push(() => reader.kill("SIGKILL"));
    await waitsForPage(reader);
    // What the server has told by now has come.
    await ram.faultReport();
    const told = new Set<number>();
    ram.onFault = (page) => told.add(page);
    expect(told).toContain(0);
    arrive(ram, 0, PAGES);
    expect(await once(reader, "exit")).toEqual([0, null]);
  });

  it("goes into the kernel unasked", async () => {
    const ram = await mount("one");
    const path = join(folder, "one");
    arrive(ram, 8, 30);
    await until(async () => {
      const { stdout } = await execute("fincore", ["--bytes", "--noheadings", "--output", "RES", path]);
      return Number(stdout) === 30 * PAGE_BYTES;
    });
    expect(await mapper.touch(path, 8 * PAGE_BYTES, 37 * PAGE_BYTES)).toEqual(["8", "37"]);
    expect((await ram.faultReport()).faults).toBe(0);
  });

  it("has gone when it is discarded, and so has what was made for it", async () => {
    const ram = await mount("one", "two");
    await Promise.all([ram.discard(), ram.discard()]);
    expect(await readdir(folder)).toEqual([]);
    expect(await mountsAt(join(folder, "one"))).toBe(0);
  });

  it("lies over a file of the same length, which stays, and over no other", async () => {
    const path = join(folder, "one");
    await writeFile(path, Buffer.alloc(BYTES, 200));
    const ram = await mount("one");
    ram.arrived(4, 1);
    expect(await mapper.touch(path, 4 * PAGE_BYTES)).toEqual(["200"]);
    await ram.discard();
    expect((await stat(path)).size).toBe(BYTES);
    await writeFile(join(folder, "two"), "short");
    await expect(mount("three", "two")).rejects.toMatchObject({ code: "argument" });
    expect((await readdir(folder)).sort()).toEqual(["one", "two"]);
    const again = await mount("one");
    await expect(mount("one")).rejects.toMatchObject({ code: "lazy-unavailable" });
    arrive(again, 1);
    expect(await mapper.touch(path, PAGE_BYTES)).toEqual(["1"]);
  });

  it("is refused without the rights, before anything is touched", async () => {
    const path = join(folder, "one");
    const drop = ["--bounding-set=-all", "--inh-caps=-all"];
    const { stdout } = await execute("setpriv", [...drop, process.execPath, RECEIVER, path]);
    expect(stdout).toContain("lazy-unavailable: Serving memory as a file needs root");
    expect(await readdir(folder)).toEqual([]);
  });

  it("goes with its receiver as long as the machine does not run", async () => {
    const path = join(folder, "one");
    const { process: child } = await receive(path);
    child.kill("SIGKILL");
    await hasGone(path);
    await until(async () => !existsSync(path));
  });

  it("outlives its receiver, and signals, once the machine runs", async () => {
    const path = join(folder, "one");
    const receiver = await receive(path);
    await receiver.tell("arrive");
    const holder = await hold(path, 0);
    await receiver.tell("commit");
    receiver.process.kill("SIGKILL");
    await once(receiver.process, "exit");
    const server = await serverOf(path);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(server, signal);
    expect(await mapper.touch(path, 1)).toEqual(["7"]);
    // What never came is waited for.
    const waiting = spawn("cat", [path], { stdio: "ignore" });
    await waitsForPage(waiting);
    holder.kill();
    await once(holder, "exit");
    expect(await mountsAt(path)).toBe(1);
    waiting.kill();
    await hasGone(path);
    await until(async () => !existsSync(path));
  });

  it("that nobody serves any more fails what is brought to it", async () => {
    const ram = await mount("one");
    process.kill(await serverOf(join(folder, "one")), "SIGKILL");
    const gone = { code: "guest-failed" };
    await until(() =>
      ram.commit().then(
        () => false,
        () => true,
      ),
    );
    await expect(ram.commit()).rejects.toMatchObject(gone);
    await expect(ram.complete()).rejects.toMatchObject(gone);
    expect(() => arrive(ram, 0)).toThrow(expect.objectContaining(gone));
    await ram.discard();
    await execute("umount", ["-l", join(folder, "one")]);
  });

  it("that will never be whole is written out with the machine's own writes", async () => {
    const ram = await mount("one", "t.w.o");
    const path = join(folder, "one");
    arrive(ram, 0, 10);
    arrive(ram, PAGES, PAGES);
    const holder = await hold(path, 2 * PAGE_BYTES, 3 * PAGE_BYTES + 5);
    const isTold = new Promise<void>((resolve) => {
      ram.onFault = (page) => page === 20 && resolve();
    });
    const waiting = mapper.touch(path, 20 * PAGE_BYTES).catch(() => "killed");
    await isTold;
    await ram.commit();
    const salvaged = join(folder, "salvaged");
    const files = await ram.salvage(salvaged, (page) => page >= 10 && page < PAGES);
    expect(files).toEqual(
      ["one.ram", "one.missing.json", "t_w_o.ram", "t_w_o.missing.json"].map((name) => join(salvaged, name)),
    );
    expect(await waiting).toBe("killed");
    expect([holder.exitCode, holder.signalCode]).toEqual([null, "SIGKILL"]);
    const wanted = Buffer.concat(
      Array.from({ length: PAGES }, (_, page) => Buffer.alloc(PAGE_BYTES, page < 10 ? page : 0)),
    );
    wanted[2 * PAGE_BYTES] = 3;
    wanted[3 * PAGE_BYTES + 5] = 4;
    expect(Buffer.compare(await readFile(files[0] as string), wanted)).toBe(0);
    expect(JSON.parse(await readFile(files[1] as string, "utf8"))).toEqual({
      region: "one",
      pageBytes: PAGE_BYTES,
      missing: [{ firstPage: 10, pageCount: PAGES - 10 }],
    });
    expect(JSON.parse(await readFile(files[3] as string, "utf8"))).toMatchObject({ missing: [] });
    await hasGone(path);
  });
});
