import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { RelayEvent } from "../../src/relay/options.js";
import { RelayReceiver } from "../../src/relay/receiver.js";
import type { RelayReport } from "../../src/relay/report.js";
import { relaySend } from "../../src/relay/sender.js";
import type { Connection } from "../../src/transport/connection.js";
import { connectionPair } from "../../src/transport/pair.js";
import { continuity } from "../lab/counter.js";
import { LabMachine } from "../lab/machine.js";
import type { LabWorkload } from "../lab/plan.js";
import { labUnavailable } from "../lab/require.js";
import { poll, within } from "../lab/wait.js";
import { resumablePair } from "../support/resumable-pair.js";
import { Tap } from "../support/tap.js";

/** The guest boots once, and is kept. */
const TIMEOUT_MS = 600_000;
const MIGRATION_MS = 120_000;
const MEMORY_BYTES = 128 << 20;
const IDLE: LabWorkload = { kind: "idle" };
const WRITER: LabWorkload = { kind: "writer", pages: 2048, rate: 1000, bytes: 64 };
const CUTS = 20;

const reason = await labUnavailable();
const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A machine, the one that waits for it, and taps where QEMUs and relays meet. */
interface Move {
  readonly name: string;
  readonly source: LabMachine;
  readonly target: LabMachine;
  readonly atTarget: Tap;
}

async function started(workload: LabWorkload, isWaiting: boolean): Promise<LabMachine> {
  const machine = await LabMachine.start({
    workload,
    memoryBytes: MEMORY_BYTES,
    ramFile: false,
    ...(isWaiting && { incoming: "defer" }),
  });
  cleanups.push(() => machine.stop());
  return machine;
}

async function prepare(name: string, workload: LabWorkload, capabilities: readonly string[]): Promise<Move> {
  const source = await started(workload, false);
  const target = await started(workload, true);
  for (const { qmp } of [source, target]) {
    await qmp.execute("migrate-set-capabilities", {
      capabilities: capabilities.map((capability) => ({ capability, state: true })),
    });
  }
  const path = join(target.paths.folder, "incoming");
  await target.qmp.execute("migrate-incoming", { uri: `unix:${path}` });
  const atTarget = await Tap.listen({ path });
  cleanups.push(() => atTarget.close());
  return { name, source, target, atTarget };
}

/** Relays for these machines; gives a tap before each machine's way in, and its reports. */
async function relays(
  moves: readonly Move[],
  ends: readonly [Connection, Connection] = connectionPair(),
): Promise<{ readonly taps: readonly Tap[]; readonly reports: RelayReport[] }> {
  const reports: RelayReport[] = [];
  const receiver = new RelayReceiver({
    machines: moves.map(({ name, atTarget }) => ({ name, deliver: atTarget.address })),
  });
  const received = receiver.receive(ends[1]);
  received.catch(() => {});
  const session = await relaySend({
    connection: ends[0],
    machines: moves.map(({ name }) => ({ name, listen: { host: "127.0.0.1", port: 0 } })),
    onEvent: (event: RelayEvent) => {
      if (event.event === "closed") reports.push(event.report);
    },
  });
  cleanups.push(async () => {
    await session.close();
    await received.catch(() => {});
  });
  const taps = await Promise.all(session.addresses.map((address) => Tap.listen(address)));
  cleanups.push(() => {
    for (const tap of taps) tap.close();
  });
  return { taps, reports };
}

interface Progress {
  readonly status: string;
  readonly ram?: { readonly "dirty-sync-count": number; readonly "postcopy-bytes": number };
}

/** Waits until the migration is so far. */
function reached(machine: LabMachine, isReached: (progress: Progress) => boolean): Promise<Progress> {
  return within("The migration was not so far", MIGRATION_MS, new AbortController().signal, (signal) =>
    poll(async () => {
      const progress = await machine.qmp.execute<Progress>("query-migrate");
      if (progress.status === "failed") throw new Error(`The migration failed: ${JSON.stringify(progress)}`);
      return isReached(progress) ? progress : undefined;
    }, signal),
  );
}

async function migrate({ source }: Move, tap: Tap, whenToSwitch?: (progress: Progress) => boolean): Promise<Progress> {
  const { host, port } = tap.address;
  await source.qmp.execute("migrate", { uri: `tcp:${host}:${port}` });
  if (whenToSwitch !== undefined) {
    await reached(source, (progress) => progress.status === "completed" || whenToSwitch(progress));
    await source.qmp.execute("migrate-start-postcopy");
  }
  return await reached(source, ({ status }) => status === "completed");
}

/** Waits until everything has arrived, and expects it to be the same. */
async function expectSameBytes(arrived: Tap, sent: Tap): Promise<void> {
  await within("Not everything arrived", MIGRATION_MS, new AbortController().signal, (signal) =>
    poll(async () => arrived.forth.bytes >= sent.forth.bytes || undefined, signal),
  );
  expect(arrived.forth).toEqual(sent.forth);
}

/** The guest runs at the target, and counts on from where it was. */
async function expectAlive({ source, target }: Move): Promise<void> {
  await target.countOn(3);
  expect(continuity(source.printed, target.printed).breaks).toEqual([]);
}

describe.skipIf(reason !== undefined)(
  `live QEMUs through relays${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  () => {
    const isActive = ({ status }: Progress): boolean => status === "active";
    const isInSecondRound = ({ ram }: Progress): boolean => (ram?.["dirty-sync-count"] ?? 0) >= 2;

    it.each([
      ["pre-copy of an idle guest", IDLE, [], undefined],
      ["pre-copy with xbzrle of a guest that writes", WRITER, ["xbzrle"], undefined],
      ["post-copy of an idle guest", IDLE, ["postcopy-ram"], isActive],
      ["post-copy of a guest that writes", WRITER, ["postcopy-ram"], isActive],
      ["pre-copy, then post-copy of a guest that writes", WRITER, ["postcopy-ram"], isInSecondRound],
    ] as const)(
      "%s: what comes out is what went in",
      async (_, workload, capabilities, whenToSwitch) => {
        const move = await prepare("m", workload, capabilities);
        const { taps, reports } = await relays([move]);
        const [tap] = taps as [Tap];
        // Where the guest writes, so slow that there are rounds, and that something is left for post-copy.
        if (workload === WRITER) {
          const downtimeMs = whenToSwitch === undefined ? 300 : 1;
          await move.source.qmp.execute("migrate-set-parameters", {
            "max-bandwidth": 60_000_000,
            "downtime-limit": downtimeMs,
          });
        }
        const { ram } = await migrate(move, tap, whenToSwitch);
        if (whenToSwitch !== undefined) expect(ram?.["postcopy-bytes"]).toBeGreaterThan(0);
        await within("No report came", MIGRATION_MS, new AbortController().signal, (signal) =>
          poll(async () => reports[0], signal),
        );
        await expectSameBytes(move.atTarget, tap);
        expect(tap.back).toEqual(move.atTarget.back);
        expect(tap.forth.bytes).toBeGreaterThan(10 << 20);
        // QEMU's own rounds lose writes under emulation now and then: after them the counter proves nothing.
        if (whenToSwitch === isActive) await expectAlive(move);
        const [report] = reports as [RelayReport];
        expect(report).toMatchObject({ outcome: "ended", rawBytes: tap.forth.bytes, backBytes: tap.back.bytes });
        // The stream was understood: what is no page is little.
        const pages = Object.values(report.pages as object).reduce((sum: number, count: number) => sum + count, 0);
        expect(pages * 4096).toBeGreaterThan(tap.forth.bytes * 0.9);
      },
      TIMEOUT_MS,
    );

    it(
      "two guests at once come out as they went in",
      async () => {
        const moves = [await prepare("a", IDLE, ["postcopy-ram"]), await prepare("b", WRITER, ["postcopy-ram"])];
        const { taps } = await relays(moves);
        await Promise.all(moves.map((move, index) => migrate(move, taps[index] as Tap, isActive)));
        for (const [index, move] of moves.entries()) {
          await expectSameBytes(move.atTarget, taps[index] as Tap);
          await expectAlive(move);
        }
      },
      TIMEOUT_MS,
    );

    it(
      `the link is cut ${CUTS} times during one migration, of which neither QEMU notices more than a pause`,
      async () => {
        const move = await prepare("m", IDLE, []);
        const pair = await resumablePair(CUTS);
        cleanups.push(() => pair.close());
        const { taps } = await relays([move], pair.ends);
        // A guest that stands still loses nothing in QEMU's own rounds.
        await move.source.qmp.execute("stop");
        await migrate(move, taps[0] as Tap);
        await expectSameBytes(move.atTarget, taps[0] as Tap);
        await move.target.qmp.execute("cont");
        await expectAlive(move);
        expect(pair.cuts).toBe(CUTS);
      },
      TIMEOUT_MS,
    );

    it(
      "a guest runs on at the source where the link is lost for good, and at the destination nothing runs",
      async () => {
        const move = await prepare("m", IDLE, []);
        const ends = connectionPair();
        const { taps } = await relays([move], ends);
        await move.source.qmp.execute("migrate-set-parameters", { "max-bandwidth": 4 << 20 });
        const { host, port } = (taps[0] as Tap).address;
        await move.source.qmp.execute("migrate", { uri: `tcp:${host}:${port}` });
        await reached(move.source, isActive);
        ends[0].abort(new Error("The cable was cut."));
        await within("The migration did not fail", MIGRATION_MS, new AbortController().signal, (signal) =>
          poll(async () => {
            const { status } = await move.source.qmp.execute<Progress>("query-migrate");
            return status === "failed" || undefined;
          }, signal),
        );
        await move.source.countOn(3);
        expect(continuity(move.source.printed).breaks).toEqual([]);
        expect(move.target.lastCount).toBeUndefined();
      },
      TIMEOUT_MS,
    );
  },
);
