import { spawn } from "node:child_process";
import { type FileHandle, open, readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { QmpClient } from "../../src/guest/qemu/qmp.js";
import { continuity } from "./counter.js";
import { LabMachine } from "./machine.js";
import type { LabMachineOptions, LabWorkload } from "./plan.js";
import { labUnavailable } from "./require.js";
import { loadGuest, saveGuest } from "./snapshot.js";
import { TEST_WORKLOADS } from "./workloads.js";

const MiB = 1 << 20;
const PAGE_BYTES = 4096;
const WINDOW_BYTES = MiB;
/** A first run fetches and compiles, and boots every guest once. */
const TIMEOUT_MS = 600_000;
const { idle: IDLE, writer: WRITER, pages: WHOLE_PAGES, redis: REDIS, mix: MIX } = TEST_WORKLOADS;

const reason = await labUnavailable();
const redisReason = await labUnavailable(true);

const machines: LabMachine[] = [];
afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.stop();
});

async function started(workload: LabWorkload, options: Partial<LabMachineOptions> = {}): Promise<LabMachine> {
  const memoryBytes = (workload.kind === "redis" ? 256 : 128) * MiB;
  const machine = await LabMachine.start({ workload, memoryBytes, ...options });
  machines.push(machine);
  return machine;
}

/** What the workload does in a second or so of the guest's time, as its counter says. */
async function operationsPerSecond(machine: LabMachine): Promise<number> {
  const before = await machine.operations();
  const start = machine.lastCount as number;
  const end = await machine.countOn(20);
  return ((await machine.operations()) - before) / ((end - start) / 10);
}

/** Calls `visit` with every page of a RAM file; what it changes and returns true for is written back. */
async function visitPages(path: string, visit: (page: Buffer, number: number) => boolean): Promise<number> {
  const file = await open(path, "r+");
  let changedPages = 0;
  try {
    const window = Buffer.alloc(WINDOW_BYTES);
    const { size } = await file.stat();
    for (let position = 0; position < size; position += WINDOW_BYTES) {
      await file.read(window, 0, WINDOW_BYTES, position);
      for (let at = 0; at < WINDOW_BYTES; at += PAGE_BYTES) {
        const page = window.subarray(at, at + PAGE_BYTES);
        if (!visit(page, (position + at) / PAGE_BYTES)) continue;
        await file.write(page, 0, PAGE_BYTES, position + at);
        changedPages += 1;
      }
    }
  } finally {
    await file.close();
  }
  return changedPages;
}

/** Makes one RAM file like the other; gives the number of pages that were not. */
async function copyChanged(from: string, to: string): Promise<number> {
  const source: FileHandle = await open(from, "r");
  try {
    const content = Buffer.alloc((await source.stat()).size);
    await source.read(content, 0, content.length, 0);
    return await visitPages(to, (page, number) => {
      const wanted = content.subarray(number * PAGE_BYTES, (number + 1) * PAGE_BYTES);
      if (page.equals(wanted)) return false;
      wanted.copy(page);
      return true;
    });
  } finally {
    await source.close();
  }
}

/** Whether this is a page of the writer's with 64 bytes a slot: the first words of a slot never written are one word, the slots' differ. */
function isWritersPage(page: Buffer): boolean {
  const word = (at: number): bigint => page.readBigUInt64LE(at);
  const isRun = (slot: number): boolean =>
    word(slot * 64) !== 0n && [8, 16, 24, 32, 40, 48, 56].every((at) => word(slot * 64 + at) === word(slot * 64));
  return isRun(61) && isRun(63) && word(61 * 64) !== word(63 * 64) && !isRun(60) && !isRun(62);
}

describe.skipIf(reason !== undefined)(`the lab's guest (${reason ?? "available"})`, () => {
  it.each<[string, LabWorkload, number, number]>([
    ["nothing", IDLE, 0, 0],
    ["64 bytes in each of 4000 pages a second", WRITER, 2000, 4400],
    ["1500 whole pages a second", WHOLE_PAGES, 750, 1650],
  ])("counts, keeps its files and writes %s", { timeout: TIMEOUT_MS }, async (_, workload, least, most) => {
    const machine = await started(workload);
    await machine.waitForReady();
    const rate = await operationsPerSecond(machine);
    expect(rate).toBeGreaterThanOrEqual(least);
    expect(rate).toBeLessThanOrEqual(most);
    expect(await machine.verifyManifest()).toBe(true);
    if (workload.kind === "writer") expect(await machine.checkWriter()).toBe(0);
    expect(continuity(machine.printed).breaks).toEqual([]);
  });

  it("packs and unpacks, where it has a mixed workload", { timeout: TIMEOUT_MS }, async () => {
    const machine = await started(MIX);
    await machine.waitForReady();
    const before = await machine.operations();
    while ((await machine.operations()) === before) await machine.countOn();
    expect(await machine.verifyManifest()).toBe(true);
    expect(continuity(machine.printed).breaks).toEqual([]);
  });

  it.skipIf(redisReason !== undefined)(
    `serves redis (${redisReason ?? "available"})`,
    { timeout: TIMEOUT_MS },
    async () => {
      const machine = await started(REDIS);
      await machine.waitForReady();
      expect(await operationsPerSecond(machine)).toBeGreaterThan(250);
      expect(await machine.verifyManifest()).toBe(true);
      expect(continuity(machine.printed).breaks).toEqual([]);
    },
  );

  it("notices damage to its files", { timeout: TIMEOUT_MS }, async () => {
    const machine = await started(IDLE);
    await machine.waitForReady();
    await machine.qmp.execute("stop");
    const damaged = await visitPages(machine.ramPath, (page) => {
      if (page.toString("latin1").split("served in 12 ms").length < 50) return false;
      page.writeUInt8(page.readUInt8(2000) ^ 1, 2000);
      return true;
    });
    expect(damaged).toBeGreaterThan(0);
    await machine.qmp.execute("cont");
    expect(await machine.verifyManifest()).toBe(false);
  });

  it("notices a page of the writer's that was changed, and one that went back to what it was", {
    timeout: TIMEOUT_MS,
  }, async () => {
    for (const damage of ["changed", "gone back"]) {
      const machine = await started(WRITER);
      await machine.waitForReady();
      const before = new Map<number, Buffer>();
      const stop = (): Promise<unknown> => machine.qmp.execute("stop");
      await stop();
      await visitPages(machine.ramPath, (page, number) => {
        if (isWritersPage(page)) before.set(number, Buffer.from(page));
        return false;
      });
      expect(before.size).toBeGreaterThan(100);
      expect(await machine.qmp.execute("cont")).toEqual({});
      await machine.countOn(5);
      await stop();
      let isDone = false;
      await visitPages(machine.ramPath, (page, number) => {
        const old = before.get(number);
        if (isDone || old === undefined || old.equals(page)) return false;
        isDone = true;
        if (damage === "changed") page.writeUInt8(page.readUInt8(4000) ^ 1, 4000);
        else old.copy(page);
        return true;
      });
      expect(isDone).toBe(true);
      await machine.qmp.execute("cont");
      expect(await machine.checkWriter(), damage).toBe(1);
      await machine.stop();
    }
  });
});

describe.skipIf(reason !== undefined)(`the lab's machines (${reason ?? "available"})`, () => {
  it("move from one to the other by hand", { timeout: TIMEOUT_MS }, async () => {
    const source = await started(WRITER);
    await source.waitForReady();
    const destination = await started(WRITER, { incoming: "defer" });
    await source.countOn(3);
    expect(await copyChanged(source.ramPath, destination.ramPath)).toBeGreaterThan(4000);
    await source.countOn(3);
    const state = `${destination.paths.folder}/state`;
    await saveGuest(source.qmp, state);
    const lastPages = await copyChanged(source.ramPath, destination.ramPath);
    expect(lastPages).toBeGreaterThan(500);
    await loadGuest(destination.qmp, state);
    const printed = source.printed;
    await destination.qmp.execute("cont");
    await destination.waitForReady();
    await destination.countOn(10);
    expect(await destination.verifyManifest()).toBe(true);
    expect(await destination.checkWriter()).toBe(0);
    expect(continuity(printed, destination.printed).breaks).toEqual([]);
    expect(source.printed).toBe(printed);
  });

  it("move by QEMU itself where their RAM is no shared file", { timeout: TIMEOUT_MS }, async () => {
    const source = await started(IDLE, { ramFile: false });
    const destination = await started(IDLE, { ramFile: false, incoming: "defer" });
    const uri = `unix:${destination.paths.folder}/migration`;
    await source.waitForReady();
    await destination.qmp.execute("migrate-incoming", { uri });
    const resumed = destination.qmp.nextEvent("RESUME");
    await source.qmp.execute("migrate", { uri });
    await resumed;
    await destination.countOn(5);
    expect(await destination.verifyManifest()).toBe(true);
    expect(continuity(source.printed, destination.printed).breaks).toEqual([]);
  });

  it("speak QMP", { timeout: TIMEOUT_MS }, async () => {
    const { qmp, pid } = await started(IDLE, { incoming: "defer" });
    expect(qmp.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(JSON.stringify(await qmp.execute("query-qmp-schema")).length).toBeGreaterThan(100_000);
    const refused = qmp.execute("migrate-continue", { state: "pre-switchover" });
    await expect(refused).rejects.toMatchObject({ code: "command-failed", qemuClass: "GenericError" });
    await expect(qmp.execute("no-such")).rejects.toMatchObject({ qemuClass: "CommandNotFound" });
    const ended = qmp.nextEvent("SHUTDOWN");
    const waiting = qmp.nextEvent("RESUME");
    process.kill(pid as number, "SIGTERM");
    expect((await ended).data).toEqual({ guest: false, reason: "host-signal" });
    await expect(waiting).rejects.toMatchObject({ code: "closed" });
  });

  it("tell why they do not come up, or end", { timeout: TIMEOUT_MS }, async () => {
    const failing = started(IDLE, { incoming: "defer", extraArguments: ["-device", "no-such-device"] });
    await expect(failing).rejects.toThrow("no-such-device");
    const machine = await started(IDLE);
    await machine.waitForReady();
    process.kill(machine.pid as number, "SIGKILL");
    await expect(machine.countOn(1000)).rejects.toThrow(/SIGKILL.*CNT/s);
  });

  it("can be started by somebody else, and leave nothing", { timeout: TIMEOUT_MS }, async () => {
    const plan = await LabMachine.plan({ workload: IDLE, memoryBytes: 128 * MiB });
    const [program, ...parameters] = plan.commandLine as [string, ...string[]];
    const child = spawn(program, [...parameters, "-incoming", "defer"], { stdio: "ignore", detached: true });
    const machine = await LabMachine.attach(plan);
    expect(machine.pid).toBe(child.pid);
    expect(await machine.qmp.execute("query-status")).toMatchObject({ status: "inmigrate" });
    const { folder, qmp } = plan.paths;
    await machine.stop();
    await machine.stop();
    expect(machine.pid).toBeUndefined();
    await expect(QmpClient.connect(qmp)).rejects.toMatchObject({ code: "connect-failed" });
    expect(await readdir(dirname(folder))).not.toContain(folder);
  });
});

describe("continuity", () => {
  it("is followed from one machine to the next", () => {
    expect(continuity("x\nCNT 1\nCNT 2\nCN", "T 3\nCNT 4\nCNT")).toEqual({ first: 1, last: 4, breaks: [] });
    expect(continuity("9\r\nCNT 10\r\nCNT 11\r\n", "CNT 12\r\n").last).toBe(12);
  });

  it.each([
    ["a gap", "\nCNT 1\nCNT 3\n"],
    ["a repeat", "\nCNT 1\nCNT 1\n"],
    ["a step back", "\nCNT 2\nCNT 1\n"],
    ["a line that was mixed with another", "\nCNT 1\nCNT panic2\nCNT 3\n"],
    ["a line that was printed in part twice", "\nCNT 1\nCNCNT 2\nCNT 3\n"],
  ])("is broken by %s", (_, printed) => {
    expect(continuity(printed).breaks).toHaveLength(1);
  });

  it("needs a guest that counts", () => {
    expect(() => continuity("READY\nKernel panic")).toThrow("Kernel panic");
  });
});
