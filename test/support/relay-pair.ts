import type { RelayEvent } from "../../src/relay/options.js";
import { RelayReceiver } from "../../src/relay/receiver.js";
import type { RelayReport } from "../../src/relay/report.js";
import { type RelaySession, relaySend } from "../../src/relay/sender.js";
import type { Connection } from "../../src/transport/connection.js";
import { connectionPair } from "../../src/transport/pair.js";
import { migrateTo, type QemuSocket, WaitingQemu } from "./qemu-socket.js";

/** Options of {@link RelayPair.open}. */
export interface RelayPairOptions {
  readonly names?: readonly string[];
  readonly share?: readonly (readonly string[])[];
  readonly cacheBytes?: number;
  readonly targetCacheBytes?: number;
  readonly ends?: readonly [Connection, Connection];
}

/** Two relays, and QEMUs that wait at the second one. */
export class RelayPair {
  readonly session: RelaySession;
  readonly received: Promise<void>;
  readonly ends: readonly [Connection, Connection];
  readonly waiting: ReadonlyMap<string, WaitingQemu>;
  readonly #names: readonly string[];
  readonly #events: EventLog[];

  private constructor(
    session: RelaySession,
    received: Promise<void>,
    ends: readonly [Connection, Connection],
    waiting: ReadonlyMap<string, WaitingQemu>,
    events: EventLog[],
  ) {
    this.session = session;
    this.received = received;
    this.ends = ends;
    this.waiting = waiting;
    this.#names = [...waiting.keys()];
    this.#events = events;
  }

  static async open(options: RelayPairOptions = {}): Promise<RelayPair> {
    const { names = ["a"], share = [], cacheBytes, targetCacheBytes, ends = connectionPair() } = options;
    const waiting = new Map<string, WaitingQemu>();
    for (const name of names) waiting.set(name, await WaitingQemu.listen());
    const events = [new EventLog(), new EventLog()];
    const receiver = new RelayReceiver({
      machines: names.map((name) => ({ name, deliver: (waiting.get(name) as WaitingQemu).address })),
      ...(targetCacheBytes !== undefined && { cacheBytes: targetCacheBytes }),
      onEvent: (event) => events[1]?.add(event),
    });
    const received = receiver.receive(ends[1]);
    received.catch(() => {});
    const session = await relaySend({
      connection: ends[0],
      machines: names.map((name) => ({ name, listen: { host: "127.0.0.1", port: 0 } })),
      share,
      compression: "lz4",
      ...(cacheBytes !== undefined && { cacheBytes }),
      onEvent: (event) => events[0]?.add(event),
    });
    return new RelayPair(session, received, ends, waiting, events);
  }

  /** A machine's QEMU connects here, and the relay to the one that waits there. */
  async migrate(name = "a"): Promise<readonly [QemuSocket, QemuSocket]> {
    const index = this.#names.indexOf(name);
    const source = migrateTo(this.session.addresses[index] as (typeof this.session.addresses)[number]);
    return [source, await (this.waiting.get(name) as WaitingQemu).arrival()];
  }

  /** The report of a machine's next stream that is over, of the source's relay or the destination's. */
  report(end: "source" | "destination", machine = "a"): Promise<RelayReport> {
    return (this.#events[end === "source" ? 0 : 1] as EventLog).report(machine);
  }

  async close(): Promise<void> {
    await this.session.close();
    await this.received.catch(() => {});
    for (const qemu of this.waiting.values()) qemu.close();
  }
}

class EventLog {
  readonly #reports: RelayReport[] = [];
  #onReport = new Set<() => void>();

  add(event: RelayEvent): void {
    if (event.event !== "closed") return;
    this.#reports.push(event.report);
    for (const look of this.#onReport) look();
  }

  report(machine: string): Promise<RelayReport> {
    return new Promise((resolve) => {
      const look = (): void => {
        const index = this.#reports.findIndex((report) => report.machine === machine);
        if (index < 0) return;
        this.#onReport.delete(look);
        resolve(this.#reports.splice(index, 1)[0] as RelayReport);
      };
      this.#onReport.add(look);
      look();
    });
  }
}
