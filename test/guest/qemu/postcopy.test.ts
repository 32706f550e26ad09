import { readdirSync, readFileSync } from "node:fs";
import {
  type Arrival,
  type Connection,
  connectionPair,
  Destination,
  LostArrival,
  limitBandwidth,
  type MigrateOptions,
  type Migration,
  type MigrationFailure,
  type MigrationReport,
  migrate,
} from "pageferry";
import { QemuGuest, QemuHost } from "pageferry/qemu";
import { afterEach, describe, expect, it } from "vitest";
import { FrameType } from "../../../src/wire/messages.js";
import { continuity } from "../../lab/counter.js";
import { LabMachine } from "../../lab/machine.js";
import type { LabMachineOptions, LabPlan, LabWorkload } from "../../lab/plan.js";
import { labUnavailable } from "../../lab/require.js";
import { TEST_WORKLOADS } from "../../lab/workloads.js";
import { fuseMissing } from "../../support/fuse.js";
import { Random } from "../../support/random.js";
import { Setting } from "../../support/resumable.js";

const MiB = 1 << 20;
const PAGE_BYTES = 4096;
const TIMEOUT_MS = 600_000;
/** Machines that move beside each other. */
const AT_A_TIME = 2;
/** Of each strategy under each workload. */
const RUNS = Number(process.env["PAGEFERRY_POSTCOPY_RUNS"] ?? 5);
const { idle: IDLE, writer: WRITER, redis: REDIS } = TEST_WORKLOADS;

const reason = (await labUnavailable()) ?? fuseMissing();
const redisReason = await labUnavailable(true);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function optionsOf(workload: LabWorkload): LabMachineOptions {
  return { workload, memoryBytes: (workload.kind === "redis" ? 256 : 128) * MiB };
}

async function start(workload: LabWorkload): Promise<LabMachine> {
  const machine = await LabMachine.start(optionsOf(workload));
  cleanups.push(() => machine.stop());
  await machine.waitForReady();
  await machine.countOn(2);
  return machine;
}

/** A machine that is moved before its memory. */
class Move {
  readonly from: LabMachine;
  readonly host: QemuHost;
  migration!: Migration;
  to!: LabMachine;
  readonly #plan: LabPlan;

  constructor(from: LabMachine, plan: LabPlan) {
    this.from = from;
    this.#plan = plan;
    const commandLine = plan.commandLine.map((word) => word.replace(/,share=on$/, ",share=off"));
    this.host = new QemuHost({ commandLine });
  }

  static async of(workload: LabWorkload): Promise<Move> {
    return new Move(await start(workload), await LabMachine.plan(optionsOf(workload)));
  }

  /** Begins; both ends are connected already. */
  async begin([here, there]: readonly Connection[], options: Partial<MigrateOptions>): Promise<Ended> {
    const destination = new Destination({ host: () => this.host, authorise: () => true, memoryLimitBytes: 1024 * MiB });
    const arriving = destination.receive(there as Connection).catch((error: Error) => error);
    // Before it runs: what a machine prints while nobody listens is lost.
    const attaching = LabMachine.attach(this.#plan);
    attaching.catch(() => {});
    const guest = await QemuGuest.open({ qmp: this.from.paths.monitor });
    cleanups.push(() => guest.close());
    this.migration = migrate(guest, here as Connection, options);
    const report = this.migration.report.catch((failure: MigrationFailure) => failure.report);
    this.to = await attaching;
    cleanups.push(() => this.to.stop());
    return { report, arriving };
  }

  /** The guest has noticed nothing. */
  async expectSound(workload: LabWorkload, { report, arriving }: Ended): Promise<MigrationReport> {
    const moved = await report;
    expect(moved).toMatchObject({ outcome: "completed", verification: { verified: true } });
    expect(((await arriving) as Arrival).digest).toBe(moved.verification.digest);
    await this.to.countOn(3);
    expect(continuity(this.from.printed, this.to.printed).breaks).toEqual([]);
    expect(await this.to.verifyManifest()).toBe(true);
    if (workload === WRITER) expect(await this.to.checkWriter()).toBe(0);
    if (workload !== IDLE) expect(await this.to.operations()).toBeGreaterThan(0);
    return moved;
  }

  /** Has something done when the host is asked for something for the first time. */
  doAt(step: "prepare" | "writePages" | "loadState" | "start", when: "before" | "after", work: () => void): void {
    const { host } = this;
    const doStep = host[step] as (...parameters: unknown[]) => unknown;
    let isDone = false;
    const doOnce = (): void => {
      if (!isDone) work();
      isDone = true;
    };
    const replaced = (...parameters: unknown[]): unknown => {
      if (when === "before") doOnce();
      const result = doStep.apply(host, parameters);
      return when === "after" ? (result as Promise<void>).then(doOnce) : result;
    };
    Object.defineProperty(host, step, { value: replaced });
  }

  async end(): Promise<void> {
    for (const machine of [this.to, this.from]) await machine.stop();
  }

  /** Waits until the machine runs and its memory follows. */
  async untilServing(): Promise<void> {
    for await (const { phase } of this.migration) if (phase === "serving") return;
  }
}

interface Ended {
  readonly report: Promise<MigrationReport>;
  readonly arriving: Promise<Arrival | undefined | Error>;
}

/** The destination's end, whose page requests come late. */
function lateRequests(inner: Connection, random: Random): Connection {
  return {
    peer: inner.peer,
    receive: () => inner.receive(),
    close: () => inner.close(),
    abort: (cause) => inner.abort(cause),
    async send(bytes) {
      if (bytes[0] === FrameType.wanted) await new Promise((resolve) => setTimeout(resolve, random.below(51)));
      await inner.send(bytes);
    },
  };
}

describe.skipIf(reason !== undefined)(
  `a machine of a real QEMU that runs before its memory is there (${reason ?? "lab"})`,
  () => {
    describe.each(["postcopy", "hybrid"] as const)("%s", (strategy) => {
      it.each([
        ["the random writer", WRITER, reason],
        ["redis", REDIS, redisReason],
      ] as const)("under %s, again and again", { timeout: TIMEOUT_MS }, async (_, workload, missing) => {
        if (missing !== undefined) return;
        const runs = Array.from({ length: RUNS }).entries();
        const mover = async (): Promise<void> => {
          for (const _ of runs) {
            const move = await Move.of(workload);
            const moved = await move.expectSound(workload, await move.begin(connectionPair(), { strategy }));
            expect(moved.postcopy?.clean).toBeGreaterThan(0);
            await move.end();
          }
        };
        await Promise.all(Array.from({ length: AT_A_TIME }, mover));
      });

      it("waits while its link is cut, 20 times", { timeout: TIMEOUT_MS }, async () => {
        const random = new Random(strategy.length);
        const move = await Move.of(WRITER);
        const setting = await new Setting().open();
        const link = limitBandwidth(setting.left, { bytesPerSecond: 20e6, burstBytes: 64 << 10 });
        const ended = await move.begin([link, setting.right], { strategy, maxRounds: 1, onStall: "switch" });
        await move.untilServing();
        let cuts = 0;
        for await (const { phase } of move.migration) {
          if (phase !== "serving" || cuts === 20) continue;
          setting.link.cut(random.below(2) === 0 ? "reset" : "end");
          cuts += 1;
        }
        await move.expectSound(WRITER, ended);
        expect(cuts).toBe(20);
      });
    });

    it("waits for pages that are asked for 0 to 50 ms late", { timeout: TIMEOUT_MS }, async () => {
      const move = await Move.of(WRITER);
      const [here, there] = connectionPair();
      const slow = limitBandwidth(here, { bytesPerSecond: 20e6, burstBytes: 64 << 10 });
      const ended = await move.begin([slow, lateRequests(there, new Random(1))], { strategy: "postcopy" });
      const { postcopy } = await move.expectSound(WRITER, ended);
      expect(postcopy?.requested).toBeGreaterThan(0);
      expect(((await ended.arriving) as Arrival).faults?.faults).toBeGreaterThan(0);
    });

    it("runs on at the source where what serves its memory is killed before, and the next one clears up", {
      timeout: TIMEOUT_MS,
    }, async () => {
      const from = await start(WRITER);
      const plan = await LabMachine.plan(optionsOf(WRITER));
      for (const [step, when] of [
        ["prepare", "after"],
        ["writePages", "before"],
        ["loadState", "before"],
        ["loadState", "after"],
        ["start", "before"],
      ] as const) {
        const move = new Move(from, plan);
        move.doAt(step, when, () => killServer(plan));
        const destination = new Destination({
          host: () => move.host,
          authorise: () => true,
          memoryLimitBytes: 1024 * MiB,
        });
        const [here, there] = connectionPair();
        const arriving = destination.receive(there).catch((error: Error) => error);
        const guest = await QemuGuest.open({ qmp: from.paths.monitor });
        const report = await migrate(guest, here, { strategy: "hybrid", timeoutMs: 10_000 }).report.catch(
          (failure: MigrationFailure) => failure.report,
        );
        await guest.close();
        expect(await arriving, `${when} ${step}`).toBeInstanceOf(Error);
        expect(report.outcome, `${when} ${step}`).toBe("failed");
        expect((await from.qmp.execute<{ running: boolean }>("query-status")).running, `${when} ${step}`).toBe(true);
        await from.countOn(1);
      }
      const move = new Move(from, plan);
      await move.expectSound(WRITER, await move.begin(connectionPair(), { strategy: "hybrid" }));
    });

    it("does not go unnoticed where a page is served wrong", { timeout: TIMEOUT_MS }, async () => {
      const move = await Move.of(WRITER);
      const write = move.host.writePages;
      move.host.writePages = (firstPage, pages) => {
        const copy = Uint8Array.from(pages);
        for (let at = 0; at < copy.length; at += PAGE_BYTES) {
          if (isWriters(copy.subarray(at, at + PAGE_BYTES))) copy[at] = (copy[at] as number) ^ 1;
        }
        write.call(move.host, firstPage, copy);
      };
      const { report, arriving } = await move.begin(connectionPair(), { strategy: "postcopy" });
      expect(await report).toMatchObject({ outcome: "lost", error: { code: "machine-lost" } });
      expect(await arriving).toBeInstanceOf(LostArrival);
      await move.to.countOn(3);
      expect(await move.to.checkWriter()).toBeGreaterThan(0);
    });
  },
);

/** Kills the process that serves a machine's memory. */
function killServer({ paths }: LabPlan): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const words = commandLineOf(pid);
    if (words.includes("server-process.js") && words.includes(paths.ram)) process.kill(Number(pid), "SIGKILL");
  }
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Whether a page is one of the writer's that holds what it began with: every other run of eight words is one word. */
function isWriters(page: Uint8Array): boolean {
  const words = new BigUint64Array(page.slice().buffer);
  const isRepeated = (run: number): boolean =>
    words.subarray(run * 8, run * 8 + 8).every((word) => word === words[run * 8]);
  let odd = 0;
  for (let run = 0; run < 64; run += 2) {
    if (isRepeated(run)) return false;
    if (isRepeated(run + 1)) odd += 1;
  }
  return odd > 20;
}
