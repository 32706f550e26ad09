import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import {
  type Connection,
  connectionPair,
  Destination,
  type MigrateOptions,
  type MigrationFailure,
  type MigrationReport,
  migrate,
} from "pageferry";
import { QemuGuest, QemuHost } from "pageferry/qemu";
import { afterEach, describe, expect, it } from "vitest";
import { FrameType } from "../../../src/wire/messages.js";
import { continuity } from "../../lab/counter.js";
import { LabMachine } from "../../lab/machine.js";
import type { LabMachineOptions, LabWorkload } from "../../lab/plan.js";
import { isSameRam } from "../../lab/ram.js";
import { labUnavailable } from "../../lab/require.js";
import { TEST_WORKLOADS } from "../../lab/workloads.js";
import { RunningCommand } from "../../support/command.js";
import { FaultyConnection, type Script } from "../../support/faulty-connection.js";

const MiB = 1 << 20;
const PAGE_BYTES = 4096;
const MEMORY_BYTES = 128 * MiB;
const TIMEOUT_MS = 600_000;
const { idle: IDLE, writer: WRITER, redis: REDIS } = TEST_WORKLOADS;

const reason = await labUnavailable();
const redisReason = await labUnavailable(true);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function optionsOf(workload: LabWorkload): LabMachineOptions {
  return { workload, memoryBytes: workload.kind === "redis" ? 256 * MiB : MEMORY_BYTES };
}

async function start(options: LabMachineOptions): Promise<LabMachine> {
  const machine = await LabMachine.start(options);
  cleanups.push(() => machine.stop());
  return machine;
}

const waiting = (options: LabMachineOptions): Promise<LabMachine> => start({ ...options, incoming: "defer" });

async function guestOf(machine: LabMachine): Promise<QemuGuest> {
  const guest = await QemuGuest.open({ qmp: machine.paths.monitor });
  cleanups.push(() => guest.close());
  return guest;
}

/** Moves a machine; looks at both RAM files when the source stands still and the destination is about to run. */
async function move(
  from: LabMachine,
  to: LabMachine,
  wrap = (host: QemuHost): QemuHost => host,
): Promise<MigrationReport> {
  const host = wrap(new QemuHost({ qmp: to.paths.monitor }));
  const begin = host.start;
  let isEqual: boolean | undefined;
  host.start = async () => {
    isEqual = await isSameRam(from, to);
    await begin.call(host);
  };
  const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 1024 * MiB });
  const [here, there] = connectionPair();
  const arriving = destination.receive(there).catch(() => {});
  const guest = await guestOf(from);
  const report = await migrate(guest, here).report;
  await arriving;
  expect(isEqual, "RAM at the switch").toBe(true);
  return report;
}

/** A bit for each page of the RAM file that is not zero. */
async function filledPages(machine: LabMachine): Promise<Uint8Array> {
  const filled = new Uint8Array(MEMORY_BYTES / PAGE_BYTES / 8);
  const file = await open(machine.ramPath);
  const page = Buffer.alloc(PAGE_BYTES);
  const zeros = Buffer.alloc(PAGE_BYTES);
  for (let number = 0; number < filled.length * 8; number++) {
    await file.read(page, 0, PAGE_BYTES, number * PAGE_BYTES);
    if (!page.equals(zeros)) filled[number >> 3] = (filled[number >> 3] as number) | (1 << (number & 7));
  }
  await file.close();
  return filled;
}

function countBits(bitmap: Uint8Array): number {
  let count = 0;
  for (const byte of bitmap) for (let bits = byte; bits !== 0; bits &= bits - 1) count += 1;
  return count;
}

/** Where the machine runs, by what the QEMUs say. */
async function runsAt(...machines: readonly LabMachine[]): Promise<readonly boolean[]> {
  return await Promise.all(
    machines.map(async ({ qmp }) => {
      const status = qmp.execute<{ running: boolean }>("query-status").catch(() => ({ running: false }));
      return (await status).running;
    }),
  );
}

describe.skipIf(reason !== undefined)(`a machine of a real QEMU (${reason ?? "lab"})`, () => {
  it.each([
    ["the random writer", WRITER, reason],
    ["redis", REDIS, redisReason],
  ] as const)(
    "is moved five times under %s and loses nothing",
    async (_, workload, missing) => {
      if (missing !== undefined) return;
      let machine = await start(optionsOf(workload));
      await machine.waitForReady();
      const printed = [machine];
      for (let round = 0; round < 5; round++) {
        await machine.countOn(3);
        const next = await waiting(optionsOf(workload));
        const report = await move(machine, next);
        expect(report).toMatchObject({ outcome: "completed", verification: { verified: true } });
        await next.waitForReady();
        machine = next;
        printed.push(next);
      }
      await machine.countOn(5);
      expect(continuity(...printed.map(({ printed: text }) => text)).breaks).toEqual([]);
      expect(await machine.verifyManifest()).toBe(true);
      if (workload === WRITER) expect(await machine.checkWriter()).toBe(0);
      expect(await machine.operations()).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  it("whose last round is lost on the way is not let run at the destination", { timeout: TIMEOUT_MS }, async () => {
    const [from, to] = [await start(optionsOf(WRITER)), await waiting(optionsOf(WRITER))];
    await from.waitForReady();
    let isStopped = false;
    from.qmp.onEvent(({ event }) => {
      if (event === "STOP") isStopped = true;
    });
    const moving = move(from, to, (host) => {
      const write = host.writePages;
      host.writePages = (firstPage, pages) => {
        if (!isStopped) write.call(host, firstPage, pages);
      };
      return host;
    });
    await expect(moving).rejects.toMatchObject({ code: "content-differs" });
    expect(await runsAt(from, to)).toEqual([true, false]);
    await from.countOn(3);
    expect(await from.checkWriter()).toBe(0);
  });

  it("shows which of its pages can hold something, of those that it wrote and those that were brought", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const machine = await start(optionsOf(WRITER));
    await machine.waitForReady();
    await machine.qmp.execute("stop");
    const guest = await guestOf(machine);
    const pages = MEMORY_BYTES / PAGE_BYTES;
    const filled = await filledPages(machine);
    const unknown = new Uint8Array(pages / 8);
    guest.markAllocatedPages(unknown);
    expect(countBits(unknown), "not all that is there was written by this QEMU").toBe(pages);
    const marked = filled.slice();
    guest.markAllocatedPages(marked);
    expect(filled.every((byte, at) => (byte & ~(marked[at] as number)) === 0)).toBe(true);
    // Where pages can be swapped out, it cannot be told.
    const hasSwap = !/^SwapTotal:\s+0 kB$/m.test(readFileSync("/proc/meminfo", "utf8"));
    expect(countBits(marked) === pages).toBe(hasSwap);
  });

  it("moves with a second backend and memory that was plugged in", { timeout: TIMEOUT_MS }, async () => {
    const options = { ...optionsOf(WRITER), memoryBytes: 256 * MiB };
    const slots = ["-m", "slots=2,maxmem=1G"];
    const from = await start({ ...options, extraArguments: slots });
    const path = `${from.paths.folder}/plugged`;
    const backend = { "qom-type": "memory-backend-file", id: "mem1", size: 128 * MiB, "mem-path": path, share: true };
    await from.qmp.execute("object-add", backend);
    await from.qmp.execute("device_add", { driver: "pc-dimm", id: "dimm1", memdev: "mem1" });
    const file = await open(path, "r+");
    await file.write(Buffer.alloc(5000, "plugged"), 0, 5000, 77 * MiB);
    await file.close();
    const plan = await LabMachine.plan({ ...options, incoming: "defer", extraArguments: slots });
    const there = `${plan.paths.folder}/plugged`;
    const dimm = [
      ...["-object", `memory-backend-file,id=mem1,size=128M,mem-path=${there},share=on`],
      ...["-device", "pc-dimm,id=dimm1,memdev=mem1"],
    ];
    const host = new QemuHost({ commandLine: [...plan.commandLine, ...dimm] });
    const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 1024 * MiB });
    const [left, right] = connectionPair();
    const arriving = destination.receive(right);
    const report = await migrate(await guestOf(from), left).report;
    await arriving;
    const to = await LabMachine.attach(plan);
    cleanups.push(() => to.stop());
    expect(report.ramBytes).toBe(384 * MiB);
    const copy = await open(there);
    const { buffer } = await copy.read(Buffer.alloc(5000), 0, 5000, 77 * MiB);
    await copy.close();
    expect(buffer.equals(Buffer.alloc(5000, "plugged"))).toBe(true);
    await to.countOn(3);
    expect(await to.verifyManifest()).toBe(true);
  });
});

describe.skipIf(reason !== undefined)(`a machine of a real QEMU, link cut (${reason ?? "lab"})`, () => {
  const steps: [string, Script["direction"], number][] = [
    ["announce", "sent", FrameType.announce],
    ["accept", "received", FrameType.accept],
    ["first batch", "sent", FrameType.batch],
    ["roundEnd", "sent", FrameType.roundEnd],
    ["roundDone", "received", FrameType.roundDone],
    ["verify", "sent", FrameType.verify],
    ["ready", "received", FrameType.ready],
    ["commit", "sent", FrameType.commit],
    ["running", "received", FrameType.running],
  ];

  it(
    "before and after each step: it runs in exactly one place",
    async () => {
      const options = optionsOf(IDLE);
      let from = await start(options);
      await from.waitForReady();
      for (const [name, direction, type] of steps) {
        for (const when of ["before", "after"] as const) {
          const to = await waiting(options);
          const [status, code] = await moveAndCut(from, to, direction, type, when);
          const runs = await runsAt(from, to);
          expect(runs.filter(Boolean), `${when} ${name}: ${code}`).toHaveLength(1);
          expect(runs[1], `${when} ${name}`).toBe(status === "completed");
          const runner = runs[1] ? to : from;
          await runner.countOn(2);
          expect(await runner.verifyManifest(), `${when} ${name}`).toBe(true);
          from = runner;
        }
      }
    },
    TIMEOUT_MS,
  );
});

/** Cuts the connection before or after the first frame of a type, and lets the source ask over another one. */
async function moveAndCut(
  from: LabMachine,
  to: LabMachine,
  direction: Script["direction"],
  type: number,
  when: "before" | "after",
): Promise<[string, string | undefined]> {
  const host = new QemuHost({ qmp: to.paths.monitor });
  const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 1024 * MiB });
  const connect = (): Connection => {
    const [here, there] = connectionPair();
    destination.receive(there).catch(() => {});
    return here;
  };
  const faulty = new FaultyConnection(connect());
  let isCut = false;
  faulty.onFrame = (way, _, frameType) => {
    if (isCut || way !== direction || frameType !== type) return;
    isCut = true;
    const cut = (): void => faulty.abort(new Error("cut"));
    if (when === "before") cut();
    else setImmediate(cut);
  };
  const options: Partial<MigrateOptions> = { reconnect: async () => connect(), timeoutMs: 10_000 };
  const guest = await guestOf(from);
  try {
    return [(await migrate(guest, faulty, options).report).outcome, undefined];
  } catch (error) {
    return [(error as MigrationFailure).report.outcome, (error as MigrationFailure).code];
  } finally {
    await guest.close();
    await destination.close();
  }
}

describe.skipIf(reason !== undefined)(`a mover of a real QEMU's machine that is killed (${reason ?? "lab"})`, () => {
  async function commands(
    from: LabMachine,
    to: LabMachine,
  ): Promise<{ sender: RunningCommand; receiver: RunningCommand }> {
    const again = ["--reconnect-for", "2"];
    const receiver = new RunningCommand([
      "qemu",
      "receive",
      "--qmp",
      to.paths.monitor,
      "--listen",
      "127.0.0.1:0",
      ...again,
    ]);
    cleanups.push(() => receiver.process.kill("SIGKILL"));
    const [, port] = await receiver.waitFor(/Waiting for machines at [^ ]+:(\d+)/);
    const sender = new RunningCommand([
      "qemu",
      "migrate",
      "--qmp",
      from.paths.monitor,
      "--to",
      `127.0.0.1:${port}`,
      ...again,
    ]);
    cleanups.push(() => sender.process.kill("SIGKILL"));
    return { sender, receiver };
  }

  it.each(["sender", "receiver"] as const)(
    "(the %s, while the machine stands still): it runs on at the source",
    async (victim) => {
      const [from, to] = [await start(optionsOf(WRITER)), await waiting(optionsOf(WRITER))];
      await from.waitForReady();
      const stopped = from.qmp.nextEvent("STOP");
      const resumed = from.qmp.nextEvent("RESUME");
      const both = await commands(from, to);
      await stopped;
      both[victim].process.kill("SIGKILL");
      await resumed;
      expect(await runsAt(from, to)).toEqual([true, false]);
      await from.countOn(3);
      expect(await from.checkWriter()).toBe(0);
      expect(await from.verifyManifest()).toBe(true);
    },
    TIMEOUT_MS,
  );
});
