import { afterEach, describe, expect, it } from "vitest";
import { MemoryGuest } from "../../src/guest/memory/guest.js";
import { MemoryHost } from "../../src/guest/memory/host.js";
import type { Arrival } from "../../src/migration/arrival.js";
import { Destination } from "../../src/migration/destination.js";
import { type MigrationFailure, migrate } from "../../src/migration/migrate.js";
import type { MigrationReport } from "../../src/migration/report.js";
import type { Connection } from "../../src/transport/connection.js";
import { resumableConnect } from "../../src/transport/resumable.js";
import { ResumableAcceptor } from "../../src/transport/resumable-acceptor.js";
import type { ResumableState } from "../../src/transport/resumable-options.js";
import { connectTcp, listenTcp } from "../../src/transport/tcp.js";
import { connectTls, listenTls } from "../../src/transport/tls.js";
import { CuttingProxy } from "../support/cutting-proxy.js";
import { CUTS, TestLink } from "../support/links.js";
import { Random } from "../support/random.js";
import { hosts } from "./ends.js";

const MEMORY_BYTES = 16 << 20;
const CUTS_OF_A_MIGRATION = 20;
const host = "127.0.0.1";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A guest, and a destination for it behind an acceptor. */
class Move {
  readonly guest: MemoryGuest;
  readonly host: MemoryHost = new MemoryHost();
  readonly states: ResumableState[] = [];
  readonly options: { silenceMs: number; onStateChange?: (state: ResumableState) => void } = { silenceMs: 200 };
  acceptor: ResumableAcceptor;
  arriving: Promise<Arrival | undefined> | undefined;

  constructor(seed: number) {
    this.guest = new MemoryGuest({ memoryBytes: MEMORY_BYTES, pagesPerSecond: 5000, seed });
    const destination = new Destination({
      host: () => this.host,
      authorise: () => true,
      memoryLimitBytes: MEMORY_BYTES,
    });
    this.acceptor = new ResumableAcceptor(this.options, (connection) => {
      this.arriving = destination.receive(connection);
      this.arriving.catch(() => {});
    });
    cleanups.push(() => {
      this.guest.content.stop();
      this.host.content?.stop();
    });
  }

  /** Migrates over links that `dial` makes. */
  async run(dial: () => Promise<Connection>): Promise<MigrationReport> {
    const connection = await resumableConnect(dial, {
      ...this.options,
      onStateChange: (state) => this.states.push(state),
    });
    const { report } = migrate(this.guest, connection, { compression: "none", downtimeLimitMs: 2000 });
    return await report;
  }

  async expectCompleted(report: MigrationReport): Promise<void> {
    expect(report.outcome).toBe("completed");
    expect((await this.arriving)?.digest).toBe(report.verification.digest);
    expect(this.guest.content.isRunning).toBe(false);
    expect(this.host.content?.isRunning).toBe(true);
    expect(this.host.content?.wrongPages()).toEqual([]);
    expect(this.host.content?.startedAt).toBe(this.guest.content.steps);
    const lost = this.states.filter((state) => state === "reconnecting");
    expect(lost.length).toBeGreaterThan(0);
    expect(this.states.filter((state) => state === "connected")).toHaveLength(lost.length);
  }
}

describe("a migration whose link is cut 20 times", () => {
  it.each([1, 2, 3])("completes with equal memory, and both ends notice only a pause (seed %i)", async (seed) => {
    const random = new Random(seed);
    const move = new Move(seed);
    const links: TestLink[] = [];
    const report = await move.run(async () => {
      const isCut = links.length < CUTS_OF_A_MIGRATION;
      const budget = (links.length === 0 ? 300 : 0) + random.below([300, 20_000, 800_000][random.below(3)] as number);
      const link = isCut ? new TestLink(budget, CUTS[random.below(CUTS.length)]) : new TestLink();
      links.push(link);
      move.acceptor.accept(link.there);
      return link.here;
    });
    await move.expectCompleted(report);
    expect(links.filter((link) => link.isCut)).toHaveLength(CUTS_OF_A_MIGRATION);
  });

  it.each(["TCP", "TLS"])("completes over %s through a proxy that resets its sockets", async (kind) => {
    const random = new Random(20);
    const move = new Move(20);
    const { source, destination } = await hosts();
    const accept = (inner: Connection): void => move.acceptor.accept(inner);
    const listener =
      kind === "TCP"
        ? await listenTcp({ host, port: 0 }, accept)
        : await listenTls({ host, port: 0, credentials: destination }, accept);
    cleanups.push(() => void listener.close());
    let made = 0;
    const proxy = await CuttingProxy.start(listener.port, () => {
      made += 1;
      if (made > CUTS_OF_A_MIGRATION) return Number.POSITIVE_INFINITY;
      return (made === 1 ? 10_000 : 0) + random.below(random.below(2) === 0 ? 6000 : 1_000_000);
    });
    cleanups.push(() => proxy.close());
    const address = { host, port: proxy.port };
    const report = await move.run(() =>
      kind === "TCP" ? connectTcp(address) : connectTls({ ...address, credentials: source, serverName: "destination" }),
    );
    await move.expectCompleted(report);
    expect(proxy.cuts).toBe(CUTS_OF_A_MIGRATION);
  });

  it("ends with a clear error where the destination was restarted, and the machine runs on here", async () => {
    const move = new Move(5);
    const before = move.acceptor;
    const listener = await listenTcp({ host, port: 0 }, (inner) => move.acceptor.accept(inner));
    cleanups.push(() => void listener.close());
    let made = 0;
    const proxy = await CuttingProxy.start(listener.port, () => {
      made += 1;
      // Whoever comes the second time meets another process, as it were.
      if (made === 2) move.acceptor = new ResumableAcceptor({}, () => expect.fail("no new session"));
      return made === 1 ? 1_000_000 : Number.POSITIVE_INFINITY;
    });
    cleanups.push(() => proxy.close());
    const dial = (): Promise<Connection> => connectTcp({ host, port: proxy.port });
    const failure = await move.run(dial).catch((error: MigrationFailure) => error);
    expect(failure).toMatchObject({ name: "MigrationFailure", code: "connection-lost" });
    expect((failure as MigrationFailure).message).toContain("restarted");
    expect(move.guest.content.isRunning).toBe(true);
    before.close();
    await expect(move.arriving).rejects.toMatchObject({ code: "connection-lost" });
    expect(move.host.content).toBeUndefined();
  });
});
