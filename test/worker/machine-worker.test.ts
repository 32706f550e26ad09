import type { Browser, Page } from "playwright";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SerialConsole } from "../../src/guest/v86/console.js";
import { createEmulator, installedVersion } from "../../src/guest/v86/node.js";
import type { MachineNews, MachineSource, MachineWorker, MachineWorkerOptions, V86Location } from "../../src/index.js";
import { chromiumPath, launchChromium } from "../support/chromium.js";
import { exampleIn, projectFolder } from "../support/docs.js";
import { type StaticServer, serveFolder } from "../support/static-server.js";

/** A worker as the tests' page keeps it. */
interface Watched {
  readonly machine: MachineWorker;
  readonly news: MachineNews[];
  /** The states so far. */
  states(): string[];
  /** Waits for news, which may have been told already. */
  until(isWanted: (news: MachineNews) => boolean): Promise<MachineNews>;
}

/** What stands in the page, for the functions that are evaluated there. */
declare const pageferry: typeof import("../../src/index.js");
/** `before` is a script that runs in the worker before the library does. */
declare function openWatched(options?: MachineWorkerOptions & { readonly before?: string }): Promise<Watched>;
/** What a promise rejects with, as it can leave the page. */
declare function failureOf(promise: Promise<unknown>): Promise<{ name: string; code: string; message: string }>;
/** A machine of v86 that goes round in a circle. */
declare function spinning(): Promise<MachineSource & { kind: "v86" }>;
declare const v86: V86Location;

const MEMORY_BYTES = 1 << 20;
const VGA_MEMORY_BYTES = 128 << 10;
/**
 * What stands for a BIOS: it gives up two ports that no disk has, without which v86 does not take its own state back, says so, and goes round in a circle.
 */
const PROGRAM_ADDRESS = 0xf0000;
const PROGRAM: Uint8Array = Uint8Array.of(
  ...[0x10, 0x14].flatMap((register) => [
    ...[0xba, 0xf8, 0x0c], // mov dx, 0cf8h
    ...[0x66, 0xb8, register, 0xf0, 0x00, 0x80], // mov eax, 8000f000h + register
    ...[0x66, 0xef], // out dx, eax
    ...[0xba, 0xfc, 0x0c], // mov dx, 0cfch
    ...[0x66, 0x31, 0xc0], // xor eax, eax
    ...[0x66, 0xef], // out dx, eax
  ]),
  ...[0xba, 0xf8, 0x03], // mov dx, 3f8h
  ...[0xb0, 0x52], // mov al, "R"
  0xee, // out dx, al
  ...[0xeb, 0xfe], // jmp $
);
/** Where the processor begins, and what it finds there: a jump to the program. */
const RESET_ADDRESS = 0xffff0;
const RESET: Uint8Array = Uint8Array.of(0xe9, 0x0d, 0x00);

/** The page, in the import map of the document's example. */
function pageWith(version: string): string {
  const importMap = exampleIn("docs/browser.md", "html", "workers").match(/.*?<\/script>/s)?.[0];
  return `${importMap}<script type="module">
    import * as pageferry from "pageferry";
    const v86 = { version: "${version}", scriptUrl: "node_modules/v86/build/libv86.mjs", wasmUrl: "node_modules/v86/build/v86.wasm" };
    Object.assign(globalThis, { pageferry, v86 });
    globalThis.openWatched = async ({ before, ...options } = {}) => {
      const news = [];
      const looks = new Set();
      const onNews = (each) => {
        news.push(each);
        for (const look of looks) look(each);
      };
      if (before !== undefined) {
        const script = ["data:text/javascript," + encodeURIComponent(before), location.origin + "/node_modules/pageferry/dist/worker.js"];
        const text = script.map((address) => "import " + JSON.stringify(address) + ";").join("");
        options.worker = () => new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })), { type: "module" });
      }
      return {
        machine: await pageferry.MachineWorker.open({ onNews, ...options }),
        news,
        states: () => news.filter((each) => each.news === "state").map(({ state }) => state),
        until: (isWanted) => new Promise((resolve) => {
          const known = news.find(isWanted);
          if (known !== undefined) resolve(known);
          looks.add((each) => isWanted(each) && resolve(each));
        }),
      };
    };
    globalThis.failureOf = (promise) => promise.then(
      () => { throw new Error("It succeeded."); },
      ({ name, code, message }) => ({ name, code, message }),
    );
    globalThis.spinning = async () => ({
      kind: "v86",
      name: "spinning",
      state: new Uint8Array(await (await fetch("/spinning.state")).arrayBuffer()),
      memoryBytes: ${MEMORY_BYTES},
      vgaMemoryBytes: ${VGA_MEMORY_BYTES},
      consoleText: new Uint8Array(0),
    });
    document.title = "ready";
  </script>`;
}

/** The state of the machine that goes round in a circle. */
async function spinningState(): Promise<Buffer> {
  const { emulator } = await createEmulator({ memoryBytes: MEMORY_BYTES, vgaMemoryBytes: VGA_MEMORY_BYTES });
  emulator.write_memory(PROGRAM, PROGRAM_ADDRESS);
  emulator.write_memory(RESET, RESET_ADDRESS);
  const serial = new SerialConsole(emulator);
  await emulator.run();
  await serial.waitFor(/R/, 30_000);
  await emulator.stop();
  const state = await emulator.save_state();
  await emulator.destroy();
  return Buffer.from(state);
}

describe.skipIf(chromiumPath === undefined)("in Chromium (skipped where it is not installed)", () => {
  let server: StaticServer;
  let browser: Browser;
  let html: string;
  let state: Buffer;
  let page: Page;
  /** What the page was not prepared for. */
  let uncaught: Error[];

  beforeAll(async () => {
    [server, browser, html, state] = await Promise.all([
      serveFolder(projectFolder),
      launchChromium(),
      installedVersion().then(pageWith),
      spinningState(),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });
  beforeEach(async () => {
    page = await openPage(browser);
    uncaught = [];
    page.on("pageerror", (error) => uncaught.push(error));
  });
  afterEach(async () => {
    await page?.close();
    expect(uncaught).toEqual([]);
  });

  async function openPage(inBrowser: Browser): Promise<Page> {
    const opened = await inBrowser.newPage();
    const { origin } = server;
    await opened.route(`${origin}/`, (route) => route.fulfill({ contentType: "text/html", body: html }));
    await opened.route(`${origin}/spinning.state`, (route) => route.fulfill({ body: state }));
    // The package, as it would be installed.
    await opened.route(`${origin}/node_modules/pageferry/**`, (route) =>
      route.continue({ url: route.request().url().replace("/node_modules/pageferry", "") }),
    );
    await opened.goto(`${origin}/`);
    await opened.waitForFunction(() => document.title === "ready");
    return opened;
  }

  it("a machine moves to another worker and back, over a port and over a connection", async () => {
    const seen = await page.evaluate(async () => {
      const [left, right] = [await openWatched(), await openWatched()];
      await left.machine.start({ kind: "memory", name: "demo", memoryBytes: 8 << 20, pagesPerSecond: 2000 });
      const moves = [];
      for (const [from, to] of [
        [left, right],
        [right, left],
      ] as const) {
        const { port1, port2 } = new MessageChannel();
        const isBack = from === right;
        const end = isBack ? pageferry.messagePortConnection(port2) : port2;
        const arriving = to.machine.receive(end, { memoryLimitBytes: 16 << 20 });
        const report = await from.machine.migrate(isBack ? pageferry.messagePortConnection(port1) : port1);
        const arrival = await arriving;
        const news = from.news.filter((each) => each.news === "pages");
        moves.push({
          outcome: report.outcome,
          isSame: arrival?.digest === report.verification.digest,
          // The state travels as pages behind the memory's.
          pagesTold: news.reduce((sum, { pages }) => sum + pages.filter((page) => page < 2048).length, 0),
          pagesReported: report.rounds.reduce((sum, { pagesDirty }) => sum + pagesDirty, 0),
          roundsTold: [...new Set(news.map(({ round }) => round))],
          rounds: report.rounds.length,
          states: [from.machine.state, to.machine.state],
        });
      }
      const states = [left.states(), right.states()];
      left.machine.close();
      right.machine.close();
      return { moves, states };
    });
    for (const move of seen.moves) {
      expect(move).toMatchObject({ outcome: "completed", isSame: true, states: ["empty", "running"] });
      expect(move.pagesTold).toBe(move.pagesReported);
      expect(move.pagesTold).toBeGreaterThanOrEqual(1024);
      expect([move.roundsTold[0], move.roundsTold.at(-1)]).toEqual([0, move.rounds - 1]);
    }
    expect(seen.states).toEqual([
      ["arriving", "running", "leaving", "empty", "arriving", "running"],
      ["arriving", "running", "leaving", "empty"],
    ]);
  });

  it("a connection that breaks leaves the machine where it was", async () => {
    const seen = await page.evaluate(async () => {
      const [left, right] = [await openWatched(), await openWatched()];
      await left.machine.start({ kind: "memory", name: "demo", memoryBytes: 8 << 20, pagesPerSecond: 2000 });
      const { port1, port2 } = new MessageChannel();
      const [near, far] = [pageferry.messagePortConnection(port1), pageferry.messagePortConnection(port2)];
      const refused = failureOf(right.machine.receive(far, { memoryLimitBytes: 16 << 20 }));
      const failed = failureOf(left.machine.migrate(near, { bytesPerSecond: 500_000, compression: "none" }));
      await left.until(({ news }) => news === "pages");
      near.abort(new Error("the link is gone"));
      const codes = [(await failed).code, (await refused).code];
      const states = [left.states(), right.states()];
      left.machine.close();
      right.machine.close();
      return { codes, states };
    });
    expect(seen).toEqual({
      codes: ["connection-lost", "connection-lost"],
      states: [
        ["arriving", "running", "leaving", "running"],
        ["arriving", "empty"],
      ],
    });
  });

  it("a worker whose file is missing, or is no script, fails", async () => {
    const seen = await page.evaluate(async () => {
      const texts = ["this is no script", "throw new Error('broken by the test')"];
      const blobs = texts.map((text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
      return await Promise.all(
        ["/nowhere.js", ...blobs].map((address) => {
          const worker = (): Worker => new Worker(address, { type: "module" });
          return failureOf(pageferry.MachineWorker.open({ worker }));
        }),
      );
    });
    for (const failure of seen) expect(failure).toMatchObject({ name: "WorkerError", code: "worker-failed" });
    expect(seen.map(({ message }) => message)).toEqual([
      "The worker has failed: it cannot be loaded.",
      "The worker has failed: it cannot be loaded.",
      expect.stringContaining("broken by the test"),
    ]);
  });

  it("a worker that was closed lets nobody wait", async () => {
    const seen = await page.evaluate(async () => {
      const { machine } = await openWatched();
      await machine.start({ kind: "memory", name: "demo", memoryBytes: 1 << 20, pagesPerSecond: 100 });
      const { port1 } = new MessageChannel();
      const waiting = failureOf(machine.migrate(port1));
      machine.close();
      return [await waiting, await failureOf(machine.pause())];
    });
    const closed = { name: "WorkerError", code: "worker-failed", message: "The worker was closed." };
    expect(seen).toEqual([closed, closed]);
  });

  it("v86 that is not there is said to be missing", async () => {
    const seen = await page.evaluate(async () => {
      const without = [
        { ...v86, scriptUrl: "nowhere.mjs" },
        { ...v86, wasmUrl: "nowhere.wasm" },
        { ...v86, wasmUrl: v86.scriptUrl },
      ];
      return await Promise.all(without.map((each) => failureOf(pageferry.MachineWorker.open({ v86: each }))));
    });
    for (const failure of seen) {
      expect(failure).toMatchObject({
        code: "missing-program",
        message: expect.stringMatching(/^v86 cannot be loaded/),
      });
    }
    expect(seen[1]?.message).toContain("status 404");
  });

  it("a state that v86 does not take is refused, and the next one runs", async () => {
    const seen = await page.evaluate(async () => {
      const { machine, states, until } = await openWatched({ v86 });
      const source = await spinning();
      const noHeader = source.state.slice();
      noHeader.fill(0, 0, 4);
      const cut = source.state.slice(0, source.state.length / 2);
      const noText = source.state.slice();
      noText.fill(0x7b, 16, 200);
      const codes = [];
      for (const damaged of [noHeader, noText, cut, new Uint8Array(0)]) {
        codes.push((await failureOf(machine.start({ ...source, state: damaged }))).code);
      }
      await machine.start(source);
      await until((each) => each.news === "pace" && (each.instructionsPerSecond ?? 0) > 0);
      machine.close();
      return { codes, states: states() };
    });
    expect(seen.codes).toEqual(new Array(4).fill("state-malformed"));
    expect(seen.states).toEqual([...new Array(4).fill(["arriving", "empty"]).flat(), "arriving", "running"]);
  });

  /** Starts a machine in a worker that was made ready to break, breaks it while it runs, and starts another. */
  function breakRunning(before: string): Promise<{
    reason: string | undefined;
    refused: { code: string };
    states: string[];
  }> {
    return page.evaluate(async (script) => {
      const { machine, news, states, until } = await openWatched({ v86, before: script });
      const source = await spinning();
      await machine.start(source);
      await until((each) => each.news === "pace" && (each.instructionsPerSecond ?? 0) > 0);
      const switchOf = new BroadcastChannel("broken");
      switchOf.postMessage(true);
      const failed = await until((each) => each.news === "state" && each.state === "failed");
      const refused = await failureOf(machine.pause());
      switchOf.postMessage(false);
      const before = news.length;
      await machine.start(source);
      await until(
        (each) => news.indexOf(each) >= before && each.news === "pace" && (each.instructionsPerSecond ?? 0) > 0,
      );
      machine.close();
      return { reason: failed.news === "state" ? failed.reason : undefined, refused, states: states() };
    }, before);
  }

  const FAILED_AND_STARTED = ["arriving", "running", "failed", "arriving", "running"];
  const SWITCH = `let isBroken = false;
    new BroadcastChannel("broken").onmessage = ({ data }) => { isBroken = data; };`;

  it("a machine whose emulator fails in its main loop is told of, and another one can be started", async () => {
    const seen = await breakRunning(`${SWITCH}
      const { instantiate } = WebAssembly;
      WebAssembly.instantiate = async (...given) => {
        const instance = await instantiate(...given);
        if (instance.exports?.main_loop === undefined) return instance;
        const main_loop = () => {
          if (isBroken) throw new WebAssembly.RuntimeError("unreachable");
          return instance.exports.main_loop();
        };
        return { exports: { ...instance.exports, main_loop } };
      };`);
    expect(seen.reason).toBe("The emulated machine failed and was stopped.");
    expect(seen.refused.code).toBe("argument");
    expect(seen.states).toEqual(FAILED_AND_STARTED);
  });

  it.each([
    { where: "in a promise", thrown: "Promise.reject(error)" },
    { where: "in a timer", thrown: "setTimeout(() => { throw error; })" },
  ])("so is one whose emulator fails elsewhere, $where", async ({ thrown }) => {
    const seen = await breakRunning(`${SWITCH}
      new BroadcastChannel("broken").addEventListener("message", ({ data }) => {
        if (!data) return;
        const error = new WebAssembly.RuntimeError("memory access out of bounds");
        ${thrown};
      });`);
    expect(seen.reason).toBe("memory access out of bounds");
    expect(seen.states).toEqual(FAILED_AND_STARTED);
  });

  it("a machine that stands still is saved as it stands, and its snapshot can leave and come back", async () => {
    const seen = await page.evaluate(async () => {
      const [left, right] = [await openWatched(), await openWatched()];
      await left.machine.start({ kind: "memory", name: "demo", memoryBytes: 1 << 20, pagesPerSecond: 2000 });
      await left.machine.pause();
      const { snapshots } = left.machine;
      const first = await snapshots.save();
      const second = await snapshots.save();
      const exported = await snapshots.export(first.id);
      const damaged = exported.slice();
      damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] as number) ^ 1;
      for (const { id } of await snapshots.list()) await snapshots.remove(id);
      const codes = [
        (await failureOf(snapshots.restore(first.id))).code,
        (await failureOf(right.machine.snapshots.restore(first.id))).code,
        (await failureOf(right.machine.snapshots.import(damaged))).code,
      ];
      const kept = (await snapshots.list()).length;
      const id = await right.machine.snapshots.import(exported);
      await right.machine.snapshots.restore(id);
      const states = [left.states(), right.states()];
      left.machine.close();
      right.machine.close();
      const stored = [first.storedBytes > 0, second.storedBytes];
      return { isStill: second.id === first.id, stored, codes, kept, isSame: id === first.id, states };
    });
    expect(seen).toEqual({
      isStill: true,
      stored: [true, 0],
      codes: ["argument", "snapshot-missing", "snapshot-malformed"],
      kept: 0,
      isSame: true,
      states: [
        ["arriving", "running", "paused"],
        ["arriving", "empty", "arriving", "running"],
      ],
    });
  });

  it("without SIMD it is said that it is missing", async () => {
    // V8 offers Wasm SIMD only with the processor's SSE 4.1.
    const old = await launchChromium({ args: ["--js-flags=--no-enable-sse4-1"] });
    try {
      const oldPage = await openPage(old);
      const seen = await oldPage.evaluate(() => failureOf(openWatched()));
      expect(seen).toEqual({
        name: "WorkerError",
        code: "simd-missing",
        message: "This runtime has no WebAssembly SIMD; pageferry needs it.",
      });
    } finally {
      await old.close();
    }
  });
});
