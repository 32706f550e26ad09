import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FuseFile, type FuseFileOptions } from "../../../src/guest/fuse/file.js";
import type { FuseRead } from "../../../src/guest/fuse/session.js";
import { fuseMissing, Mapper, mountsAt } from "../../support/fuse.js";

const execute = promisify(execFile);
const PAGE_BYTES = 4096;
const BYTES = 64 * PAGE_BYTES;
const SERVER = new URL("serve.js", import.meta.url).pathname;

const reason = fuseMissing();
let mapper: Mapper;
let folder: string;
const cleanups: (() => unknown)[] = [];

/** Every page of this file is full of its own number. */
function answerByNumber(read: FuseRead): void {
  const bytes = new Uint8Array(read.byteLength);
  for (let at = 0; at < bytes.length; at++) bytes[at] = (read.offset + at) / PAGE_BYTES;
  read.answer(bytes);
}

async function mount(options: Partial<FuseFileOptions> = {}): Promise<FuseFile> {
  const file = await FuseFile.mount({
    path: join(folder, "memory"),
    byteLength: BYTES,
    maxReadBytes: PAGE_BYTES,
    onRead: answerByNumber,
    onNotice: (sentence) => expect.fail(sentence),
    ...options,
  });
  cleanups.push(() => file.unmount());
  return file;
}

/** A process that serves the file, and the first line that it prints. */
async function serve(path: string, ...byte: string[]): Promise<{ server: ChildProcess; said: string[] }> {
  const server = spawn(process.execPath, [SERVER, path, ...byte], { stdio: ["pipe", "pipe", "ignore"] });
  cleanups.push(() => server.kill("SIGTERM") && once(server, "exit"));
  const said: string[] = [];
  const lines = createInterface({ input: server.stdout });
  for await (const line of lines) {
    said.push(line);
    if (line === "mounted" || line.includes(":")) break;
  }
  return { server, said };
}

describe.skipIf(reason !== undefined)(`a file that is served (${reason ?? "available"})`, () => {
  beforeAll(async () => {
    mapper = await Mapper.compile();
  });
  afterAll(() => mapper.remove());
  beforeEach(async () => {
    // A blank is written differently in the table of mounts.
    folder = await mkdtemp(join(tmpdir(), "pageferry fuse-"));
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    await rm(folder, { recursive: true });
  });

  it("is there at once, looks like a file, and has gone when it is unmounted", async () => {
    const path = join(folder, "memory");
    const file = await mount();
    expect(await stat(path)).toMatchObject({ size: BYTES, mode: 0o100600 });
    expect((await execute("sha256sum", [path])).stdout).toBe((await execute("sha256sum", [path])).stdout);
    await file.released;
    await Promise.all([file.unmount(), file.unmount()]);
    expect(await mountsAt(path)).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  it("leaves a file that was there as it was", async () => {
    const path = join(folder, "memory");
    await writeFile(path, "below");
    const file = await mount();
    expect(await mapper.touch(path, 5 * PAGE_BYTES)).toEqual(["5"]);
    await file.unmount();
    expect(await readFile(path, "utf8")).toBe("below");
  });

  it("is mapped privately by others, who keep what they write to themselves", async () => {
    const path = join(folder, "memory");
    await mount();
    const offsets = [3 * PAGE_BYTES, 7, 63 * PAGE_BYTES + 4095];
    expect(await mapper.touch(path, ...offsets)).toEqual(["3", "0", "63"]);
    expect(await mapper.touch(path, ...offsets)).toEqual(["3", "0", "63"]);
  });

  it("has a last page that is a part of one", async () => {
    await mount({ byteLength: BYTES - 100 });
    const bytes = await readFile(join(folder, "memory"));
    expect(bytes.length).toBe(BYTES - 100);
    expect(bytes.at(-1)).toBe(63);
  });

  it("answers reads that wait at the same time, in any order", async () => {
    const reads: FuseRead[] = [];
    await mount({
      onRead: (read) => {
        reads.push(read);
        if (reads.length < 3) return;
        for (const waiting of reads.reverse()) answerByNumber(waiting);
      },
    });
    const path = join(folder, "memory");
    const all = await Promise.all([1, 20, 40].map((page) => mapper.touch(path, page * PAGE_BYTES)));
    expect(all).toEqual([["1"], ["20"], ["40"]]);
  });

  it("is one of several", async () => {
    const paths = ["one", "two", "three"].map((name) => join(folder, name));
    for (const [at, path] of paths.entries()) {
      await mount({ path, onRead: (read) => read.answer(new Uint8Array(read.byteLength).fill(at)) });
    }
    expect(await Promise.all(paths.map((path) => mapper.touch(path, 0, 9 * PAGE_BYTES)))).toEqual([
      ["0", "0"],
      ["1", "1"],
      ["2", "2"],
    ]);
  });

  it("asks for nothing that has been stored", async () => {
    const asked: number[] = [];
    const file = await mount({
      onRead: (read) => {
        asked.push(read.offset);
        answerByNumber(read);
      },
    });
    await file.store(8 * PAGE_BYTES, new Uint8Array(16 * PAGE_BYTES).fill(99));
    const path = join(folder, "memory");
    expect(await mapper.touch(path, 7 * PAGE_BYTES, 8 * PAGE_BYTES, 23 * PAGE_BYTES, 24 * PAGE_BYTES)).toEqual([
      "7",
      "99",
      "99",
      "24",
    ]);
    expect(asked).toEqual([7 * PAGE_BYTES, 24 * PAGE_BYTES]);
  });

  it("takes a store of pages that somebody waits for", async () => {
    let waiting: FuseRead | undefined;
    let tell: () => void = () => {};
    const isAsked = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const file = await mount({
      onRead: (read) => {
        waiting = read;
        tell();
      },
    });
    const touching = mapper.touch(join(folder, "memory"), 4 * PAGE_BYTES);
    await isAsked;
    const stored = file.store(4 * PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(4));
    answerByNumber(waiting as FuseRead);
    await stored;
    expect(await touching).toEqual(["4"]);
  });

  it("gives an I/O error where a read fails, and is good beside it", async () => {
    const path = join(folder, "memory");
    await mount({ onRead: (read) => (read.offset === 2 * PAGE_BYTES ? read.fail(5) : answerByNumber(read)) });
    expect(await mapper.touch(path, PAGE_BYTES, 2 * PAGE_BYTES, 3 * PAGE_BYTES)).toEqual(["1", "SIGBUS", "3"]);
    const file = await open(path);
    await expect(file.read(Buffer.alloc(1), 0, 1, 2 * PAGE_BYTES)).rejects.toMatchObject({ code: "EIO" });
    await file.close();
  });

  it("cannot be written to", async () => {
    const path = join(folder, "memory");
    await mount();
    const file = await open(path, "r+");
    await expect(file.write("x")).rejects.toMatchObject({ code: "EROFS" });
    await expect(file.truncate(BYTES - 1)).rejects.toMatchObject({ code: "EROFS" });
    await file.truncate(BYTES);
    await file.close();
  });

  it("is released when the last one who had it open has closed it, or has lost the mount", async () => {
    const path = join(folder, "memory");
    const file = await mount();
    let isReleased = false;
    file.released.then(() => {
      isReleased = true;
    });
    const [first, second] = [await open(path), await open(path)];
    await first.close();
    await stat(path);
    expect(isReleased).toBe(false);
    await second.close();
    await file.released;
    const other = await mount({ path: join(folder, "other") });
    await execute("umount", [join(folder, "other")]);
    await other.released;
    await other.unmount();
  });

  it("fails those who wait when it is unmounted", async () => {
    let tell: () => void = () => {};
    const isAsked = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const file = await mount({ onRead: () => tell() });
    const touching = mapper.touch(join(folder, "memory"), 0);
    await isAsked;
    await file.unmount();
    expect(await touching).toEqual(["SIGBUS"]);
  });

  it.each([
    ["a signal that ends it", (server: ChildProcess) => server.kill("SIGTERM")],
    ["an interrupt", (server: ChildProcess) => server.kill("SIGINT")],
    ["a lost terminal", (server: ChildProcess) => server.kill("SIGHUP")],
    ["an exception that nobody catches", (server: ChildProcess) => server.stdin?.write("throw\n")],
    ["an exit", (server: ChildProcess) => server.stdin?.write("exit\n")],
  ])("goes with its process: %s", async (_, end) => {
    const path = join(folder, "memory");
    const { server, said } = await serve(path);
    expect(said).toEqual(["mounted"]);
    expect(await mapper.touch(path, 5)).toEqual(["7"]);
    const exited = once(server, "exit");
    end(server);
    const [status, signal] = await exited;
    expect(status !== 0 || signal).toBeTruthy();
    expect(await mountsAt(path)).toBe(0);
  });

  it("that killed servers have left, also one above the other, makes way for the next", async () => {
    const path = join(folder, "memory");
    const { server: below } = await serve(path);
    const between = join(folder, "between");
    const { server: above } = await serve(between, "8");
    await execute("mount", ["--move", between, path]);
    for (const server of [below, above]) {
      server.kill("SIGKILL");
      await once(server, "exit");
    }
    expect(await mountsAt(path)).toBe(2);
    await expect(open(path)).rejects.toMatchObject({ code: "ENOTCONN" });
    const notices: string[] = [];
    await mount({ onNotice: (sentence) => notices.push(sentence) });
    const notice = expect.stringContaining(`${path} was left mounted by a process that was killed`);
    expect(notices).toEqual([notice, notice]);
    expect(await mountsAt(path)).toBe(1);
    expect(await mapper.touch(path, 6 * PAGE_BYTES)).toEqual(["6"]);
  });

  it("is not mounted over one that is being served, nor over somebody else's mount", async () => {
    const path = join(folder, "memory");
    const { server } = await serve(path);
    const { said } = await serve(path);
    expect(said).toEqual([expect.stringMatching(/^lazy-unavailable: .*is being served already/)]);
    expect(await mapper.touch(path, 5)).toEqual(["7"]);
    server.kill("SIGTERM");
    await once(server, "exit");
    const others = join(folder, "others");
    await writeFile(path, "");
    await writeFile(others, "others'");
    await execute("mount", ["--bind", others, path]);
    cleanups.push(() => execute("umount", [path]));
    await expect(mount()).rejects.toMatchObject({ code: "lazy-unavailable" });
    expect(await readFile(path, "utf8")).toBe("others'");
  });

  it("is refused where it cannot be, before anything is touched", async () => {
    const path = join(folder, "memory");
    const { stdout } = await execute("setpriv", [
      "--bounding-set=-all",
      "--inh-caps=-all",
      process.execPath,
      SERVER,
      path,
    ]);
    expect(stdout).toContain("lazy-unavailable: Serving memory as a file needs root");
    expect(existsSync(path)).toBe(false);
    const argument = { code: "argument" };
    await expect(mount({ byteLength: 0 })).rejects.toMatchObject(argument);
    await expect(mount({ maxReadBytes: 5000 })).rejects.toMatchObject(argument);
    await expect(mount({ path: folder })).rejects.toMatchObject(argument);
    await expect(mount({ path: join(folder, "no", "where") })).rejects.toMatchObject(argument);
  });
});
