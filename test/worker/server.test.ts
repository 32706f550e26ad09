import { describe, expect, it } from "vitest";
import type { Guest } from "../../src/guest/guest.js";
import { MemoryGuest } from "../../src/guest/memory/guest.js";
import { migrate } from "../../src/migration/migrate.js";
import type { MigrationReport, RoundReport } from "../../src/migration/report.js";
import { messagePortConnection } from "../../src/transport/message-port.js";
import { PageClass } from "../../src/wire/batch.js";
import type { MachineSource, WorkerMigrateOptions } from "../../src/worker/messages.js";
import { failureOf, LIMIT, move, TestWorker, takeOut } from "./test-worker.js";

const MEMORY: MachineSource = { kind: "memory", name: "memory", memoryBytes: 4 << 20, pagesPerSecond: 2000 };
/** So that a move is still in its first round when its first pages are told of. */
const SLOW: WorkerMigrateOptions = { bytesPerSecond: 500_000, compression: "none" };

async function started(source: MachineSource = MEMORY): Promise<TestWorker> {
  const worker = new TestWorker();
  await worker.order("open", { v86: undefined });
  await worker.order("start", source);
  return worker;
}

/** The machine that is in the worker runs, and its memory is what its workload has made of it. */
async function expectWhole(worker: TestWorker): Promise<void> {
  const machine = await takeOut(worker);
  expect(machine.isRunning).toBe(true);
  machine.stop();
  expect(machine.startedAt).toBeGreaterThan(0);
  expect(machine.wrongPages()).toEqual([]);
}

/** Sends a machine that is like a memory machine but for what is changed. */
function sendInto(
  worker: TestWorker,
  changes: Partial<Guest["machine"]>,
  memoryLimitBytes: number = LIMIT.memoryLimitBytes,
): { readonly leaving: Promise<MigrationReport>; readonly arriving: Promise<unknown> } {
  const inner = new MemoryGuest({ memoryBytes: 4 << 20 });
  const guest: Guest = {
    machine: { ...inner.machine, ...changes },
    readPages: (firstPage, into) => inner.readPages(firstPage, into),
    pause: () => inner.pause(),
    resume: () => inner.resume(),
    saveState: () => inner.saveState(),
    release: () => inner.release(),
  };
  const { port1, port2 } = new MessageChannel();
  const arriving = worker.order("receive", { port: port2, memoryLimitBytes });
  arriving.catch(() => {});
  return { arriving, leaving: migrate(guest, messagePortConnection(port1)).report.finally(() => inner.release()) };
}

describe("a worker's server", () => {
  it("moves a machine to another one and back, and tells of every state and page", async () => {
    const left = await started();
    const right = new TestWorker();
    await right.order("open", { v86: undefined });

    const there = move(left, right);
    const report = await there.leaving;
    expect(await there.arriving).toMatchObject({
      machine: { name: "memory", kind: "memory" },
      digest: report.verification.digest,
    });
    expect(left.states).toEqual(["arriving", "running", "leaving", "empty"]);
    expect(right.states).toEqual(["arriving", "running"]);

    const counted: Record<number, number> = {};
    let lastRound = 0;
    for (const { round, pages, classes } of left.newsOf("pages")) {
      expect(classes).toHaveLength(pages.length);
      expect(round).toBeGreaterThanOrEqual(lastRound);
      lastRound = round;
      for (const each of classes) counted[each] = (counted[each] ?? 0) + 1;
    }
    expect(lastRound).toBe(report.rounds.length - 1);
    const told = (...classes: PageClass[]): number => classes.reduce((sum, each) => sum + (counted[each] ?? 0), 0);
    const reported = (name: keyof RoundReport["pagesByClass"]): number =>
      report.rounds.reduce((sum, { pagesByClass }) => sum + pagesByClass[name], 0);
    expect({
      zero: told(PageClass.zero),
      fill: told(PageClass.fill),
      dup: told(PageClass.dup),
      delta: told(PageClass.delta),
      novel: told(PageClass.novel, PageClass.passing),
      unchanged: told(PageClass.same),
    }).toEqual({
      zero: reported("zero"),
      fill: reported("fill"),
      dup: reported("dup"),
      delta: reported("delta"),
      novel: reported("novel"),
      unchanged: reported("unchanged"),
    });
    expect(left.newsOf("progress").at(-1)?.progress).toMatchObject({
      phase: "completed",
      transferredBytes: report.transferredBytes,
    });
    // All news of the move are told before its end is.
    expect(left.words.at(-1)).toMatchObject({ news: "done", out: { outcome: "completed" } });

    const back = move(right, left);
    expect(await back.leaving).toMatchObject({ outcome: "completed", verification: { verified: true } });
    await back.arriving;
    expect(right.states).toEqual(["arriving", "running", "leaving", "empty"]);
    await expectWhole(left);
  });

  it.each([
    { order: "cut" as const, code: "connection-lost", outcome: "failed" },
    { order: "cancel" as const, code: "cancelled", outcome: "cancelled" },
  ])("lets the machine run on where the move is $order, and moves it then", async ({ order, code, outcome }) => {
    const left = await started();
    const right = new TestWorker();
    const { leaving, arriving } = move(left, right, SLOW);
    await left.next("pages");
    await left.order(order, undefined);
    expect(await failureOf(leaving)).toMatchObject({ code, report: { outcome } });
    await failureOf(arriving);
    expect(left.states).toEqual(["arriving", "running", "leaving", "running"]);
    expect(right.states).toEqual(["arriving", "empty"]);
    const again = move(left, right);
    expect((await again.leaving).outcome).toBe("completed");
    await again.arriving;
    await expectWhole(right);
  });

  it("cuts and cancels nothing where nothing moves", async () => {
    const worker = await started();
    await worker.order("cut", undefined);
    await worker.order("cancel", undefined);
    expect(worker.states).toEqual(["arriving", "running"]);
    await expectWhole(worker);
  });

  it("refuses what does not go with its machine's state, which stays", async () => {
    const argument = expect.objectContaining({ code: "argument" });
    const { port1: port } = new MessageChannel();
    const empty = new TestWorker();
    expect(await empty.failure("pause", undefined)).toEqual(argument);
    expect(await empty.failure("resume", undefined)).toEqual(argument);
    expect(await empty.failure("migrate", { port, options: {} })).toEqual(argument);
    expect(await empty.failure("saveSnapshot", undefined)).toEqual(argument);
    expect(empty.states).toEqual([]);

    const worker = await started();
    expect(await worker.failure("start", MEMORY)).toEqual(argument);
    expect(await worker.failure("resume", undefined)).toEqual(argument);
    expect(await worker.failure("receive", { port, ...LIMIT })).toEqual(argument);
    expect(await worker.failure("restoreSnapshot", { id: "0" })).toEqual(argument);

    await worker.order("pause", undefined);
    expect(await worker.failure("pause", undefined)).toEqual(argument);
    expect(await worker.failure("migrate", { port, options: {} })).toMatchObject({
      code: "argument",
      message: "The worker's machine is paused, and not running.",
    });
    await worker.order("resume", undefined);
    expect(worker.states).toEqual(["arriving", "running", "paused", "running"]);

    const { leaving, arriving } = move(worker, empty, SLOW);
    expect(await worker.failure("pause", undefined)).toEqual(argument);
    expect(await worker.failure("migrate", { port, options: {} })).toEqual(argument);
    expect(await empty.failure("start", MEMORY)).toEqual(argument);
    await worker.order("cancel", undefined);
    await failureOf(leaving);
    await failureOf(arriving);
    await expectWhole(worker);
    port.close();
  });

  it("lets the other end know where a move cannot begin", async () => {
    const left = await started();
    const right = new TestWorker();
    const { leaving, arriving } = move(left, right, { downtimeLimitMs: -1 });
    expect(await failureOf(leaving)).toMatchObject({ code: "argument" });
    expect(await failureOf(arriving)).toMatchObject({ code: "connection-lost" });
    expect(left.states).toEqual(["arriving", "running"]);
    expect(right.states).toEqual(["arriving", "empty"]);
    await expectWhole(left);
  });

  it.each([
    { what: "a kind that runs in no browser", machine: { kind: "qemu" }, says: 'the kind "qemu" cannot run' },
    { what: "a machine of v86, without v86", machine: { kind: "v86" }, says: "not told where v86 is" },
    { what: "a workload that is none", machine: { configuration: {} }, says: "takes memory guests only" },
  ])("does not take in $what, and then takes another", async ({ machine, says }) => {
    const worker = new TestWorker();
    const { arriving, leaving } = sendInto(worker, machine);
    const message = expect.stringContaining(says);
    await expect(leaving).rejects.toMatchObject({ code: "peer-failed", message });
    expect(await failureOf(arriving)).toMatchObject({ code: "host-failed", message });
    expect(worker.states).toEqual(["arriving", "empty"]);
    await worker.order("start", MEMORY);
    await expectWhole(worker);
  });

  it("does not take in more memory than it may", async () => {
    const worker = new TestWorker();
    const { arriving, leaving } = sendInto(worker, {}, (4 << 20) - 1);
    await expect(leaving).rejects.toMatchObject({ code: "memory-limit" });
    expect(await failureOf(arriving)).toMatchObject({ code: "memory-limit" });
    expect(worker.states).toEqual(["arriving", "empty"]);
  });

  it("stays empty where a machine cannot be started", async () => {
    const worker = new TestWorker();
    expect(await worker.failure("start", { ...MEMORY, memoryBytes: 1000 })).toMatchObject({ code: "argument" });
    const linux: MachineSource = {
      kind: "v86",
      name: "linux",
      state: new Uint8Array(100),
      memoryBytes: 1 << 20,
      vgaMemoryBytes: 1 << 20,
      consoleText: new Uint8Array(0),
    };
    expect(await worker.failure("start", linux)).toMatchObject({
      code: "missing-program",
      message: "This worker was not told where v86 is.",
    });
    expect(worker.states).toEqual(["arriving", "empty", "arriving", "empty"]);
  });

  it("says that v86 is not where it was told to be", async () => {
    const nowhere = { version: "1.2.3", scriptUrl: "data:text/javascript,", wasmUrl: "data:application/wasm,nothing" };
    expect(await new TestWorker().failure("open", { v86: nowhere })).toMatchObject({
      code: "missing-program",
      message: expect.stringContaining("v86 cannot be loaded"),
    });
  });

  it("says where there is nothing to keep snapshots in, and the machine runs on", async () => {
    const worker = await started();
    for (const order of ["saveSnapshot", "listSnapshots"] as const) {
      expect(await worker.failure(order, undefined)).toMatchObject({ code: "storage-failed" });
    }
    expect(worker.states).toEqual(["arriving", "running"]);
    await expectWhole(worker);
  });

  it("does not count the instructions of what has none", async () => {
    const worker = await started();
    expect(await worker.next("pace")).toEqual({ news: "pace", instructionsPerSecond: undefined });
    await expectWhole(worker);
  });
});
