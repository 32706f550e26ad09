import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import {
  connectionPair,
  Destination,
  LostArrival,
  limitBandwidth,
  type MigrateOptions,
  type MigrationReport,
  migrate,
} from "pageferry";
import { QemuGuest, QemuHost } from "pageferry/qemu";
import { afterEach, describe, expect, it } from "vitest";
import { continuity } from "../../lab/counter.js";
import { LabMachine } from "../../lab/machine.js";
import type { LabMachineOptions, LabPlan, LabWorkload } from "../../lab/plan.js";
import { labUnavailable } from "../../lab/require.js";
import { machineIn } from "../../lab/strays.js";
import { poll } from "../../lab/wait.js";
import { TEST_WORKLOADS } from "../../lab/workloads.js";
import { RunningCommand } from "../../support/command.js";
import { fuseMissing, mountsAt } from "../../support/fuse.js";

const MiB = 1 << 20;
const PAGE_BYTES = 4096;
const MEMORY_BYTES = 128 * MiB;
const TIMEOUT_MS = 600_000;
const WAIT_MS = 20_000;
const { idle: IDLE, writer: WRITER } = TEST_WORKLOADS;

const reason = (await labUnavailable()) ?? fuseMissing();

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const optionsOf = (workload: LabWorkload): LabMachineOptions => ({ workload, memoryBytes: MEMORY_BYTES });

async function start(workload: LabWorkload): Promise<LabMachine> {
  const machine = await LabMachine.start(optionsOf(workload));
  cleanups.push(() => machine.stop());
  await machine.waitForReady();
  await machine.countOn(3);
  return machine;
}

/** A machine that takes its memory from the one who serves it. */
async function planPrivate(workload: LabWorkload): Promise<LabPlan> {
  const plan = await LabMachine.plan(optionsOf(workload));
  const commandLine = plan.commandLine.map((word) => word.replace(/,share=on$/, ",share=off"));
  return { ...plan, commandLine };
}

/** Listens to a machine from the moment that its QEMU is there. */
async function attach(plan: LabPlan): Promise<LabMachine> {
  const machine = await LabMachine.attach(plan);
  cleanups.push(() => machine.stop());
  return machine;
}

interface Moved {
  readonly report: MigrationReport;
  readonly to: LabMachine;
}

const destinationOf = (host: QemuHost): Destination =>
  new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 1024 * MiB });

function run(...parameters: string[]): RunningCommand {
  const command = new RunningCommand(["qemu", ...parameters]);
  cleanups.push(() => command.process.kill("SIGKILL"));
  return command;
}

async function move(from: LabMachine, plan: LabPlan, host: QemuHost, options: Partial<MigrateOptions>): Promise<Moved> {
  const [here, there] = connectionPair();
  const arriving = destinationOf(host).receive(there);
  arriving.catch(() => {});
  const attaching = attach(plan);
  attaching.catch(() => {});
  const guest = await QemuGuest.open({ qmp: from.paths.monitor });
  cleanups.push(() => guest.close());
  const report = await migrate(guest, here, options).report;
  await arriving;
  return { report, to: await attaching };
}

/** What serves the memory has ended, and QEMU with it. */
async function expectGone({ paths }: LabPlan): Promise<void> {
  const wait = AbortSignal.timeout(WAIT_MS);
  await poll(async () => (await mountsAt(paths.ram)) === 0 || undefined, wait);
  await poll(async () => !existsSync(paths.ram) || undefined, wait);
  await poll(async () => machineIn(paths.folder) === undefined || undefined, wait);
}

describe.skipIf(reason !== undefined)(`memory that is served to a real QEMU (${reason ?? "lab"})`, () => {
  it.each(["postcopy", "precopy"] as const)(
    "is all there after %s, and goes with the machine",
    { timeout: TIMEOUT_MS },
    async (strategy) => {
      const from = await start(WRITER);
      const plan = await planPrivate(WRITER);
      const { report, to } = await move(from, plan, new QemuHost({ commandLine: plan.commandLine }), { strategy });
      expect(report).toMatchObject({ outcome: "completed" });
      await to.countOn(10);
      expect(continuity(from.printed, to.printed).breaks).toEqual([]);
      expect(await to.verifyManifest()).toBe(true);
      expect(await to.checkWriter()).toBe(0);
      expect(await mountsAt(plan.paths.ram)).toBe(1);
      await to.stop();
      await expectGone(plan);
    },
  );

  it("is there before a QEMU that somebody else starts", { timeout: TIMEOUT_MS }, async () => {
    const from = await start(WRITER);
    const plan = await planPrivate(WRITER);
    const { monitor, ram } = plan.paths;
    const listen = ["--listen", "127.0.0.1:0", "--json"];
    const receiving = run("receive", "--qmp", monitor, "--ram", `${ram}=${MEMORY_BYTES / MiB}M`, ...listen);
    const [, port] = await receiving.waitFor(/Waiting for machines at [^ ]+:(\d+)/);
    const [program = "", ...parameters] = plan.commandLine;
    const qemu = spawn("setpriv", ["--pdeathsig", "KILL", program, ...parameters, "-incoming", "defer"]);
    cleanups.push(() => qemu.kill("SIGKILL"));
    const to = await attach(plan);
    const strategy = ["--strategy", "postcopy", "--json"];
    const migrating = run("migrate", "--qmp", from.paths.monitor, "--to", `127.0.0.1:${port}`, ...strategy);
    const [migrated, received] = [await migrating.done, await receiving.done];
    expect([migrated.status, received.status], migrated.stderr + received.stderr).toEqual([0, 0]);
    expect(received.json()).toMatchObject({ faults: { faults: expect.any(Number) } });
    await to.countOn(5);
    expect(continuity(from.printed, to.printed).breaks).toEqual([]);
    expect(await to.checkWriter()).toBe(0);
    await to.stop();
    await expectGone(plan);
  });

  it("goes with its receiver while the machine still runs at the source", { timeout: TIMEOUT_MS }, async () => {
    const from = await start(IDLE);
    const plan = await planPrivate(IDLE);
    const receiving = run("receive", "--listen", "127.0.0.1:0", "--", ...plan.commandLine);
    const [, port] = await receiving.waitFor(/Waiting for machines at [^ ]+:(\d+)/);
    const slowly = ["--bandwidth", "1M", "--reconnect-for", "1"];
    const migrating = run("migrate", "--qmp", from.paths.monitor, "--to", `127.0.0.1:${port}`, ...slowly);
    await poll(async () => existsSync(plan.paths.qmp) || undefined, AbortSignal.timeout(WAIT_MS));
    receiving.process.kill("SIGKILL");
    expect((await migrating.done).status).toBe(1);
    await from.countOn(3);
    await expectGone(plan);
  });

  it("is written out where the rest will not come", { timeout: TIMEOUT_MS }, async () => {
    const from = await start(WRITER);
    const plan = await planPrivate(WRITER);
    const [here, there] = connectionPair();
    const host = new QemuHost({ commandLine: plan.commandLine });
    const arriving = destinationOf(host).receive(there);
    const guest = await QemuGuest.open({ qmp: from.paths.monitor });
    cleanups.push(() => guest.close());
    const slow = limitBandwidth(here, { bytesPerSecond: 20e6, burstBytes: 64 << 10 });
    const migration = migrate(guest, slow, { strategy: "postcopy" });
    migration.report.catch(() => {});
    const lost = arriving.catch((error: unknown) => error);
    const to = await attach(plan);
    await to.countOn(3);
    here.abort(new Error("cut"));
    const error = await lost;
    expect(error).toBeInstanceOf(LostArrival);
    const folder = `${plan.paths.folder}-salvaged`;
    cleanups.push(() => rm(folder, { recursive: true, force: true }));
    const files = await (error as LostArrival).salvage(folder);
    expect(files).toEqual([`${folder}/mem0.ram`, `${folder}/mem0.missing.json`]);
    await expectGone(plan);
    const [salvaged, source] = [await readFile(files[0] as string), await readFile(from.ramPath)];
    expect(salvaged.length).toBe(source.length);
    const missing = new Set<number>();
    for (const { firstPage, pageCount } of JSON.parse(await readFile(files[1] as string, "utf8")).missing) {
      for (let page = firstPage; page < firstPage + pageCount; page++) missing.add(page);
    }
    let [same, changed] = [0, 0];
    for (let page = 0; page < source.length / PAGE_BYTES; page++) {
      const [start, end] = [page * PAGE_BYTES, (page + 1) * PAGE_BYTES];
      if (missing.has(page)) continue;
      if (salvaged.compare(source, start, end, start, end) === 0) same += 1;
      else changed += 1;
    }
    // It ran on for some tenths of a second, and wrote 4000 pages a second at most.
    expect(missing.size).toBeGreaterThan(0);
    expect(changed).toBeGreaterThan(0);
    expect(same).toBeGreaterThan(changed);
  });
});
