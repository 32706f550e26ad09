import { afterEach, describe, expect, it } from "vitest";
import { MemoryGuest } from "../../src/guest/memory/guest.js";
import { MemoryHost } from "../../src/guest/memory/host.js";
import type { MemoryMachine, MemoryMachineOptions } from "../../src/guest/memory/machine.js";
import { nextTurn } from "../../src/guest/turn.js";
import type { Arrival, DestinationOptions } from "../../src/migration/arrival.js";
import { Destination } from "../../src/migration/destination.js";
import type { MigrationError } from "../../src/migration/errors.js";
import { LostArrival } from "../../src/migration/lost.js";
import { type Migration, type MigrationFailure, migrate } from "../../src/migration/migrate.js";
import type { MigrateOptions, Strategy } from "../../src/migration/options.js";
import type { MigrationReport } from "../../src/migration/report.js";
import type { Connection } from "../../src/transport/connection.js";
import { connectionPair } from "../../src/transport/pair.js";
import { PageClass } from "../../src/wire/batch.js";
import { Random } from "../support/random.js";
import { Setting } from "../support/resumable.js";

const PAGE_BYTES = 4096;
const MEMORY_BYTES = 1 << 20;
const PAGES = MEMORY_BYTES / PAGE_BYTES;
const STRATEGIES: readonly Strategy[] = ["postcopy", "hybrid"];

const machines: MemoryMachine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.stop();
});

/** A machine that is moved before its memory, by a clock of the test's. */
class Move {
  readonly guest: MemoryGuest;
  readonly host: MemoryHost = new MemoryHost();
  /** How often each page travelled since the machine was given away. */
  readonly sent = new Uint32Array(PAGES);
  migration!: Migration;
  report!: Promise<MigrationReport>;
  failure: MigrationFailure | undefined;
  readonly #destination: Destination;

  constructor(options: Partial<MemoryMachineOptions> = {}, destinationOptions: Partial<DestinationOptions> = {}) {
    this.guest = new MemoryGuest({ memoryBytes: MEMORY_BYTES, pagesPerSecond: 0, workingSetPages: PAGES, ...options });
    machines.push(this.guest.content);
    this.#destination = new Destination({
      host: () => this.host,
      authorise: () => true,
      memoryLimitBytes: MEMORY_BYTES,
      onRunning: () => machines.push(this.there),
      ...destinationOptions,
    });
  }

  get there(): MemoryMachine {
    return this.host.content as MemoryMachine;
  }

  receive(connection: Connection): Promise<Arrival | undefined> {
    return this.#destination.receive(connection);
  }

  send(connection: Connection, options: Partial<MigrateOptions>): void {
    this.migration = migrate(this.guest, connection, {
      onPages: (pages, classes) => {
        if (!["committing", "serving"].includes(this.migration?.state)) return;
        pages.forEach((page, at) => {
          if (page < PAGES && classes[at] !== PageClass.same) this.sent[page] = (this.sent[page] as number) + 1;
        });
      },
      ...options,
    });
    this.report = this.migration.report.catch((failure: MigrationFailure) => {
      this.failure = failure;
      return failure.report;
    });
  }

  /** The memory there is the source's and what the machine has done since; nothing travelled twice. */
  expectWhole(): void {
    expect(this.there.wrongPages()).toEqual([]);
    expect(this.there.startedAt).toBe(this.guest.content.steps);
    expect(Math.max(...this.sent)).toBeLessThanOrEqual(1);
  }
}

describe.each(STRATEGIES)("%s", (strategy) => {
  it("lets the machine run first, and brings it its memory", async () => {
    const move = new Move();
    const [here, there] = connectionPair();
    const arriving = move.receive(there);
    move.send(here, { strategy });
    while (move.migration.state !== "serving") await nextTurn();
    move.there.advance(1000);
    const [report, arrival] = [await move.report, (await arriving) as Arrival];
    expect(report).toMatchObject({ outcome: "completed", strategy, verification: { verified: true } });
    expect(arrival.digest).toBe(report.verification.digest);
    const { requested, pushed, clean } = report.postcopy as NonNullable<MigrationReport["postcopy"]>;
    expect(requested + pushed + clean).toBe(PAGES);
    expect(report.downtimeMs).toBeGreaterThan(0);
    move.there.advance(5000);
    move.expectWhole();
    expect(move.migration.state).toBe("handed-over");
  });

  it("stays whole whatever is asked for, pushed, written and cut in which order", { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= 25; seed++) await wander(strategy, seed);
  });

  it("waits for its memory as long as the link is away, and goes on when it is back", async () => {
    const move = new Move();
    const setting = await followed(move, strategy);
    while (move.migration.state !== "serving") await nextTurn();
    const { makeLink } = setting;
    setting.makeLink = () => {
      throw new Error("nobody is there");
    };
    setting.link.cut("reset");
    move.there.advance(100_000);
    const waits = move.there.steps;
    for (let turns = 0; turns < 100; turns++) await nextTurn();
    move.there.advance(100_000);
    expect(move.there.steps).toBe(waits);
    setting.makeLink = makeLink;
    while (!(await isDone(move.report))) {
      move.there.advance(100);
      await nextTurn();
    }
    expect((await move.report).outcome).toBe("completed");
    expect(move.there.steps).toBeGreaterThan(waits);
    move.expectWhole();
  });

  it("is refused before anything is sent where the host cannot do it, and the machine runs on", async () => {
    const move = new Move({}, { host: eagerHost });
    const [here, there] = connectionPair();
    const arriving = move.receive(there).catch((error: MigrationError) => error.code);
    move.send(here, { strategy });
    expect(await move.report).toMatchObject({
      outcome: "failed",
      error: { code: "no-lazy-memory" },
      dirtySyncCount: 0,
    });
    expect(await arriving).toBe("peer-failed");
    expect(move.guest.content.isRunning).toBe(true);
  });

  it("says that the machine is lost where its memory cannot come, and both ends keep what they have", async () => {
    const move = new Move();
    const [here, there] = connectionPair();
    let lost: LostArrival | undefined;
    const arriving = move.receive(there).catch((error: LostArrival) => {
      lost = error;
    });
    move.send(here, { strategy });
    while (move.migration.state !== "serving") await nextTurn();
    here.abort(new Error("cut by the test"));
    const report = await move.report;
    await arriving;
    expect(report).toMatchObject({ outcome: "lost", error: { code: "machine-lost" } });
    expect(move.migration.state).toBe("lost");
    expect(move.failure?.state?.length).toBe(8);
    expect(move.guest.content.isRunning).toBe(false);
    expect(move.guest.content.wrongPages()).toEqual([]);
    expect(lost).toBeInstanceOf(LostArrival);
    expect(move.there.isRunning).toBe(true);
    expect(await lost?.salvage("nowhere")).toEqual([]);
    expect(move.there.isRunning).toBe(false);
  });
});

it("auto takes pre-copy where that comes to an end, and else lets the memory follow", async () => {
  for (const [pagesPerSecond, isFollowed] of [
    [10, false],
    [1e9, true],
  ] as const) {
    const move = new Move({ pagesPerSecond: 0 });
    let steps = 0;
    // The machine's own time: as many steps in each turn.
    const clock = setInterval(() => {
      if (move.guest.content.isRunning) move.guest.content.advance(pagesPerSecond === 10 ? 0 : 5000);
      steps += 1;
    }, 1);
    const [here, there] = connectionPair();
    const arriving = move.receive(there);
    move.send(here, { strategy: "auto", downtimeLimitMs: isFollowed ? 1e-6 : 1000 });
    const report = await move.report;
    clearInterval(clock);
    await arriving;
    expect(steps).toBeGreaterThan(0);
    expect(report.outcome).toBe("completed");
    expect(report.forecast?.willConverge).toBe(!isFollowed);
    expect(report.postcopy !== undefined).toBe(isFollowed);
    move.expectWhole();
  }
});

it("auto says before it starts that it will not come to an end where nothing else can be done", async () => {
  const move = new Move({}, { host: eagerHost });
  const clock = setInterval(() => move.guest.content.isRunning && move.guest.content.advance(5000), 1);
  const [here, there] = connectionPair();
  move.receive(there).catch(() => {});
  move.send(here, { strategy: "auto", downtimeLimitMs: 1e-6 });
  const report = await move.report;
  clearInterval(clock);
  expect(report).toMatchObject({ outcome: "failed", error: { code: "not-converging" }, dirtySyncCount: 0 });
  expect(move.guest.content.isRunning).toBe(true);
});

/** A host that cannot let a machine run before its memory is there. */
function eagerHost(): MemoryHost {
  return Object.defineProperty(new MemoryHost(), "lazy", { value: undefined });
}

/** Connects both ends by a connection that outlives its links, and begins. */
async function followed(move: Move, strategy: Strategy): Promise<Setting> {
  const setting = await new Setting().open();
  while (setting.right === undefined) await nextTurn();
  move.receive(setting.right).catch(() => {});
  move.send(setting.left, { strategy });
  return setting;
}

async function wander(strategy: Strategy, seed: number): Promise<void> {
  const random = new Random(seed);
  const move = new Move({
    seed,
    pattern: random.below(2) === 0 ? "random" : "sequential",
    filledBytes: random.below(MEMORY_BYTES),
    workingSetPages: 1 + random.below(PAGES),
  });
  const setting = await followed(move, strategy);
  let cuts = 0;
  while (!(await isDone(move.report))) {
    const { state } = move.migration;
    const machine = state === "serving" ? move.there : move.guest.content;
    if (machine.isRunning) machine.advance(random.below(50));
    if (state === "serving" && cuts < 20 && random.below(6) === 0) {
      setting.link.cut(random.below(2) === 0 ? "reset" : "end");
      cuts += 1;
    }
    for (let turns = random.below(4); turns >= 0; turns--) await nextTurn();
  }
  expect((await move.report).outcome, `seed ${seed}`).toBe("completed");
  move.there.advance(random.below(2000));
  move.expectWhole();
}

async function isDone(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}
