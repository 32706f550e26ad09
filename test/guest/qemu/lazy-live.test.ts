import { existsSync } from "node:fs";
import { connectionPair, Destination, type MigrateOptions, type MigrationReport, migrate } from "pageferry";
import { QemuGuest, QemuHost } from "pageferry/qemu";
import { afterEach, describe, expect, it } from "vitest";
import { continuity } from "../../lab/counter.js";
import { LabMachine } from "../../lab/machine.js";
import type { LabMachineOptions, LabPlan, LabWorkload } from "../../lab/plan.js";
import { labUnavailable } from "../../lab/require.js";
import { poll } from "../../lab/wait.js";
import { TEST_WORKLOADS } from "../../lab/workloads.js";
import { fuseMissing, mountsAt } from "../../support/fuse.js";

const MiB = 1 << 20;
const TIMEOUT_MS = 600_000;
const { idle: IDLE, writer: WRITER } = TEST_WORKLOADS;

const reason = (await labUnavailable()) ?? fuseMissing();

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const optionsOf = (workload: LabWorkload): LabMachineOptions => ({ workload, memoryBytes: 128 * MiB });

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

async function move(from: LabMachine, plan: LabPlan, host: QemuHost, options: Partial<MigrateOptions>): Promise<Moved> {
  const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 1024 * MiB });
  const [here, there] = connectionPair();
  const arriving = destination.receive(there);
  arriving.catch(() => {});
  const attaching = attach(plan);
  attaching.catch(() => {});
  const guest = await QemuGuest.open({ qmp: from.paths.monitor });
  cleanups.push(() => guest.close());
  const report = await migrate(guest, here, options).report;
  await arriving;
  return { report, to: await attaching };
}

describe.skipIf(reason !== undefined)(
  `a machine of a real QEMU that runs before its memory is there (${reason ?? "lab"})`,
  () => {
    it.each([
      ["idle", IDLE, "postcopy"],
      ["under the random writer", WRITER, "postcopy"],
      ["under the random writer, after rounds", WRITER, "hybrid"],
      ["under the random writer, its memory before it", WRITER, "precopy"],
    ] as const)("is moved %s and loses nothing", { timeout: TIMEOUT_MS }, async (_, workload, strategy) => {
      const from = await start(workload);
      const plan = await planPrivate(workload);
      const host = new QemuHost({ commandLine: plan.commandLine });
      const { report, to } = await move(from, plan, host, { strategy });
      expect(report).toMatchObject({ outcome: "completed" });
      await to.countOn(10);
      expect(continuity(from.printed, to.printed).breaks).toEqual([]);
      expect(await to.verifyManifest()).toBe(true);
      if (workload === WRITER) expect(await to.checkWriter()).toBe(0);
      // What serves the memory ends with the machine.
      expect(await mountsAt(plan.paths.ram)).toBe(1);
      await to.stop();
      await poll(async () => (await mountsAt(plan.paths.ram)) === 0 || undefined, AbortSignal.timeout(10_000));
      expect(existsSync(plan.paths.ram)).toBe(false);
    });
  },
);
