import { expect } from "vitest";
import { MemoryGuest } from "../../src/guest/memory/guest.js";
import { MemoryHost } from "../../src/guest/memory/host.js";
import type { MemoryMachineOptions } from "../../src/guest/memory/machine.js";
import type { Arrival, DestinationOptions } from "../../src/migration/arrival.js";
import { Destination } from "../../src/migration/destination.js";
import type { MigrationError } from "../../src/migration/errors.js";
import { type MigrationFailure, migrate } from "../../src/migration/migrate.js";
import type { MigrateOptions } from "../../src/migration/options.js";
import type { MigrationReport } from "../../src/migration/report.js";
import type { Connection } from "../../src/transport/connection.js";
import { connectionPair } from "../../src/transport/pair.js";

const MEMORY_BYTES = 1 << 20;

/** A guest and a host that notice at once when both run. */
export class Owners {
  readonly guest: MemoryGuest;
  readonly host: MemoryHost = new MemoryHost();
  bothRan = false;
  prepared = 0;
  discarded = 0;

  constructor(options: Partial<MemoryMachineOptions> = {}) {
    this.guest = new MemoryGuest({ memoryBytes: MEMORY_BYTES, pagesPerSecond: 20_000, ...options });
    const { guest, host } = this;
    const [resume, prepare, start, discard] = [guest.resume, host.prepare, host.start, host.discard];
    guest.resume = async () => {
      await resume.call(guest);
      this.#look();
    };
    host.prepare = async (machine) => {
      this.prepared += 1;
      await prepare.call(host, machine);
    };
    host.start = async () => {
      await start.call(host);
      this.#look();
    };
    host.discard = async () => {
      this.discarded += 1;
      await discard.call(host);
    };
  }

  get isRunningHere(): boolean {
    return this.guest.content.isRunning;
  }

  get isRunningThere(): boolean {
    return this.host.content?.isRunning === true;
  }

  #look(): void {
    if (this.isRunningHere && this.isRunningThere) this.bothRan = true;
  }

  stop(): void {
    this.guest.content.stop();
    this.host.content?.stop();
  }

  /** Expects that exactly one of them owns the machine, or that the source says that it does not know. */
  expectOne({ report, arrival }: Result): void {
    expect(this.bothRan, "both ran").toBe(false);
    switch (report.outcome) {
      case "completed":
        expect([this.isRunningHere, this.isRunningThere], "runs here, there").toEqual([false, true]);
        break;
      case "lost":
        expect(this.isRunningHere, "runs here, lost").toBe(false);
        expect(arrival, "arrival").toBeUndefined();
        expect(this.guest.content.wrongPages(), "wrong pages of what is kept").toEqual([]);
        return;
      case "in-doubt":
        expect(this.isRunningHere, "runs here, in doubt").toBe(false);
        expect(this.isRunningThere, "runs there, in doubt").toBe(arrival !== undefined);
        break;
      default:
        expect([this.isRunningHere, this.isRunningThere], "runs here, there").toEqual([true, false]);
        expect(arrival, "arrival").toBeUndefined();
        expect(this.host.content, "what is left at the host").toBeUndefined();
    }
    if (!this.isRunningThere) return;
    expect(this.host.content?.wrongPages(), "wrong pages").toEqual([]);
    expect(this.host.content?.startedAt).toBe(this.guest.content.steps);
  }
}

/** What both ends said. */
export interface Result {
  readonly report: MigrationReport;
  readonly arrival: Arrival | undefined;
  readonly refusal: MigrationError | undefined;
}

/** What a test may change of a migration. */
export interface Setting {
  readonly owners: Owners;
  readonly options?: Partial<MigrateOptions>;
  readonly destinationOptions?: Partial<DestinationOptions>;
  /** Connects both ends. Default: in this process. */
  readonly open?: () => Promise<[Connection, Connection]>;
  /** Puts something between the source and its connection. */
  readonly wrap?: (connection: Connection) => Connection;
  /** Whether the source may ask over further connections. */
  readonly canReconnect?: boolean;
}

/** Migrates in this process, and waits until both ends are done. */
export async function move(setting: Setting): Promise<Result> {
  const { owners, wrap = (connection) => connection, canReconnect = false } = setting;
  const destination = new Destination({
    host: () => owners.host,
    authorise: () => true,
    memoryLimitBytes: MEMORY_BYTES,
    stateLimitBytes: 4096,
    timeoutMs: 200,
    ...setting.destinationOptions,
  });
  const reconnect = async (): Promise<Connection> => {
    const [here, there] = connectionPair();
    destination.receive(there).catch(() => {});
    return here;
  };
  const [here, there] = (await setting.open?.()) ?? connectionPair();
  const arriving = destination.receive(there).then(
    (arrival) => ({ arrival, refusal: undefined }),
    (refusal: MigrationError) => ({ arrival: undefined, refusal }),
  );
  const migration = migrate(owners.guest, wrap(here), {
    compression: "none",
    downtimeLimitMs: 10_000,
    stateMaxBytes: 4096,
    timeoutMs: 200,
    inDoubtTimeoutMs: 10_000,
    ...(canReconnect ? { reconnect } : {}),
    ...setting.options,
  });
  const report = await migration.report.catch((failure: MigrationFailure) => failure.report);
  return { report, ...(await arriving) };
}
