import type { Host, Machine } from "../../guest/guest.js";
import { installedV86 } from "../../guest/v86/node.js";
import { Channel } from "../../migration/channel.js";
import { MigrationError } from "../../migration/errors.js";
import { MigrationFailure, migrate } from "../../migration/migrate.js";
import type { MigrationReport } from "../../migration/report.js";
import type { Connection } from "../../transport/connection.js";
import type { ComingMachine, PresentMachine } from "../../worker/machine.js";
import { receiveMemory } from "../../worker/memory.js";
import { receiveV86 } from "../../worker/v86.js";
import { UNWATCHED } from "./v86.js";

/** Options of {@link Machines}. */
export interface MachinesOptions {
  /** The most machines at a time, those on their way in among them. */
  readonly maxMachines: number;
  /** The most time to wait for a silent peer. */
  readonly timeoutMs: number;
  /** Hears of a machine that has come to grief and was dropped. */
  readonly onFailed: (machine: Machine, reason: Error) => void;
}

/** `in-doubt`: it was handed over, the answer was lost, and it stands still. */
type State = "arriving" | "running" | "leaving" | "in-doubt";

interface Place {
  readonly machine: Machine;
  state: State;
  /** Undefined as long as it arrives. */
  present: PresentMachine | undefined;
}

const WHY_NOT: Readonly<Record<State, string>> = {
  arriving: "is still on its way here",
  running: "cannot be moved",
  leaving: "is moving to somebody else already",
  "in-doubt": "was handed over already, and the answer was lost: it may run elsewhere",
};

/** The machines that run in this process, each under a name of its own. */
export class Machines {
  readonly #options: MachinesOptions;
  readonly #places = new Map<string, Place>();

  constructor(options: MachinesOptions) {
    this.#options = options;
  }

  /** Of all that would be lost with this process. */
  get names(): readonly string[] {
    return [...this.#places.values()].filter(({ present }) => present !== undefined).map(({ machine }) => machine.name);
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /** Why the machine cannot be taken in; undefined where it can. */
  refusal({ kind, name }: Machine): string | undefined {
    const { maxMachines } = this.#options;
    if (kind !== "memory" && kind !== "v86") {
      return `Machines of the kind ${JSON.stringify(kind)} cannot run here; those of v86 and memory can.`;
    }
    if (this.#places.has(name)) return `A machine called ${JSON.stringify(name)} is here already.`;
    if (this.#places.size < maxMachines) return undefined;
    return `There are ${maxMachines} machines here already, and no more can be taken.`;
  }

  /** Keeps a place for a machine, which is free again when the host discards it. Throws `refused` and `missing-program`. */
  async expect(machine: Machine): Promise<Host> {
    const coming = machine.kind === "v86" ? receiveV86(await installedV86(), machine.name, UNWATCHED) : receiveMemory();
    return this.#hostOf(this.#take(machine), coming);
  }

  /** Adds a machine that was started here. Throws `refused`. */
  add(present: PresentMachine): void {
    this.#settle(this.#take(present.guest.machine), present);
  }

  /**
   * Moves a machine to a destination at the other end; where it cannot leave, that end is told why. Rejects with a {@link MigrationError}; the
   * machine then runs on here, unless the code is `in-doubt`.
   */
  async leave(name: string, connection: Connection, signal: AbortSignal): Promise<MigrationReport> {
    const place = this.#places.get(name);
    if (place === undefined) return await this.refuse(connection);
    const { present, state } = place;
    if (present === undefined || state !== "running") {
      return await this.refuse(connection, `The machine ${JSON.stringify(name)} ${WHY_NOT[state]}.`);
    }
    place.state = "leaving";
    try {
      const { timeoutMs } = this.#options;
      const options = { compression: "auto", downtimeLimitMs: 100, onStall: "switch", timeoutMs, signal } as const;
      const report = await migrate(present.guest, connection, options).report;
      this.#drop(place);
      return report;
    } catch (error) {
      place.state = error instanceof MigrationFailure && error.code === "in-doubt" ? "in-doubt" : "running";
      throw error;
    }
  }

  /** Tells a destination that waits for a machine why none comes. Always rejects: with `refused`, or with why it could not be told. */
  async refuse(connection: Connection, why: string = this.#unknown()): Promise<never> {
    try {
      const channel = await Channel.open(connection, this.#options.timeoutMs);
      const refusal = new MigrationError("refused", why);
      await channel.sayGoodbye(refusal);
      throw refusal;
    } catch (error) {
      connection.abort(error as Error);
      throw error;
    }
  }

  /** Throws all machines away. */
  async close(): Promise<void> {
    const present = [...this.#places.values()].map((place) => place.present);
    this.#places.clear();
    await Promise.allSettled(present.map((machine) => machine?.guest.release()));
  }

  #take(machine: Machine): Place {
    const refusal = this.refusal(machine);
    if (refusal !== undefined) throw new MigrationError("refused", refusal);
    const place: Place = { machine, state: "arriving", present: undefined };
    this.#places.set(machine.name, place);
    return place;
  }

  #hostOf(place: Place, { host, present }: ComingMachine): Host {
    return {
      prepare: (machine) => host.prepare(machine),
      readPages: (firstPage, into) => host.readPages(firstPage, into),
      writePages: (firstPage, from) => host.writePages(firstPage, from),
      loadState: (state) => host.loadState(state),
      start: async () => {
        await host.start();
        this.#settle(place, present());
      },
      discard: async () => {
        try {
          await host.discard();
        } finally {
          this.#drop(place);
        }
      },
    };
  }

  #settle(place: Place, present: PresentMachine): void {
    place.present = present;
    place.state = "running";
    present.failed.then((reason) => {
      if (!this.#drop(place)) return;
      this.#options.onFailed(place.machine, reason);
      present.guest.release().catch(() => {});
    });
  }

  /** False where it has gone already. */
  #drop(place: Place): boolean {
    const { name } = place.machine;
    return this.#places.get(name) === place && this.#places.delete(name);
  }

  #unknown(): string {
    const names = this.names.map((name) => JSON.stringify(name)).join(", ");
    return `There is no machine of that name here; ${names === "" ? "none runs here" : `here run: ${names}`}.`;
  }
}
