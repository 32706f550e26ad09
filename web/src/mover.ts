import type { Connection, MachineSource, MachineWorker, MigrationReport } from "pageferry";
import { codeOf, type Fate } from "./sentences.js";
import type { Settings, Where } from "./settings.js";
import type { Side } from "./side.js";

/** The most memory of a machine that is let in from elsewhere. */
const MEMORY_LIMIT_BYTES = 1 << 30;

/** What the page is about just now. */
export type Situation =
  | { readonly is: "empty" }
  | { readonly is: "starting" }
  /** A machine is on this side. */
  | { readonly is: "here"; readonly on: Side; readonly report: MigrationReport | undefined }
  /** Both sides have a machine, so that neither can move to the other. */
  | { readonly is: "both" }
  | { readonly is: "moving"; readonly from: Side; readonly to: Where }
  /** A machine from elsewhere is waited for, or on its way. */
  | { readonly is: "awaiting"; readonly on: Side; readonly hasBegun: boolean }
  /** The machine has left this page. */
  | {
      readonly is: "gone";
      readonly from: Side;
      readonly to: Exclude<Where, "here">;
      readonly report: MigrationReport;
    };

/** What a mover tells. */
export interface MoverEvents {
  readonly onSituation: (situation: Situation) => void;
  readonly onReport: (report: MigrationReport) => void;
  /** `where` is where the other side is. */
  readonly onFault: (error: unknown, fate: Fate, where: Where) => void;
}

/** Starts machines, moves them between the two sides and to and from elsewhere, and knows where the machine is. */
export class Mover {
  readonly left: Side;
  readonly right: Side;
  readonly #settings: Settings;
  readonly #events: MoverEvents;
  #situation: Situation = { is: "empty" };
  #moving: MachineWorker | undefined;
  #stopWaiting: (() => void) | undefined;

  constructor(left: Side, right: Side, settings: Settings, events: MoverEvents) {
    this.left = left;
    this.right = right;
    this.#settings = settings;
    this.#events = events;
  }

  get sides(): readonly [left: Side, right: Side] {
    return [this.left, this.right];
  }

  get situation(): Situation {
    return this.#situation;
  }

  other(side: Side): Side {
    return side === this.left ? this.right : this.left;
  }

  /** Starts a machine on the left, from what `load` gives, or does nothing but tell why not. */
  async start(load: () => Promise<MachineSource>): Promise<void> {
    this.#enter({ is: "starting" });
    try {
      for (const side of this.sides) if (side.state !== "empty") await side.discard();
      const machine = await load();
      await (await this.left.worker()).start(machine);
      this.left.workload = "idle";
      this.#enter({ is: "here", on: this.left, report: undefined });
    } catch (error) {
      this.#enter({ is: "empty" });
      this.#events.onFault(error, "nothing", "here");
    }
  }

  /** A machine has come to this side, or gone from it, otherwise than by a move. */
  settle(changed: Side): void {
    const { is } = this.#situation;
    if (is === "starting" || is === "moving" || is === "awaiting") return;
    const [left, right] = this.sides;
    const holder = changed.hasMachine ? changed : this.other(changed);
    if (left.hasMachine && right.hasMachine) this.#enter({ is: "both" });
    else if (this.#situation.is === "here" && this.#situation.on === holder && holder.hasMachine) return;
    else if (holder.hasMachine) this.#enter({ is: "here", on: holder, report: undefined });
    else if (is !== "gone") this.#enter({ is: "empty" });
  }

  /** Moves the machine to the other side of the page. */
  async moveHere(): Promise<void> {
    if (this.#situation.is !== "here") return;
    const from = this.#situation.on;
    const to = this.other(from);
    await this.#move(from, "here", async (worker) => {
      if (to.state !== "empty") await to.discard();
      const { port1, port2 } = new MessageChannel();
      const receiver = await to.worker();
      const arriving = receiver.receive(port2, { memoryLimitBytes: MEMORY_LIMIT_BYTES });
      // Where the source fails it tells more than the destination, which has lost its connection then.
      arriving.catch(() => undefined);
      const report = await worker.migrate(port1, this.#settings.migrateOptions());
      await arriving;
      to.workload = from.workload;
      this.#enter({ is: "here", on: to, report });
      return report;
    });
  }

  /** Moves the machine to somewhere else, over a connection that `connect` opens. */
  async moveAway(where: Exclude<Where, "here">, connection: Connection): Promise<void> {
    if (this.#situation.is !== "here") return;
    const from = this.#situation.on;
    await this.#move(from, where, async (worker) => {
      const report = await worker.migrate(connection, this.#settings.migrateOptions());
      this.#enter({ is: "gone", from, to: where, report });
      return report;
    });
  }

  /** Waits on this side for a machine from elsewhere, until {@link cancel} as long as it has not begun to arrive. */
  async receive(on: Side, connecting: Promise<Connection>): Promise<void> {
    const before = this.#situation;
    this.#enter({ is: "awaiting", on, hasBegun: false });
    const stopped = new Promise<undefined>((resolve) => {
      this.#stopWaiting = () => resolve(undefined);
    });
    try {
      const connection = await Promise.race([connecting, stopped]);
      if (connection !== undefined) return await this.#takeIn(on, connection);
      this.#enter(before);
      connecting.then(
        (late) => late.abort(new Error("Nobody waits for the machine any more.")),
        () => undefined,
      );
    } catch (error) {
      this.#enter(before);
      this.#events.onFault(error, "stays-there", this.#settings.where);
    } finally {
      this.#stopWaiting = undefined;
    }
  }

  /** Takes the machine in when it comes back over this connection, as long as no other one is here then. */
  async receiveBack(on: Side, connecting: Promise<Connection>): Promise<void> {
    // The other side may go away and never open it; then nobody misses it.
    const connection = await connecting.catch(() => undefined);
    const before = this.#situation;
    if (before.is !== "gone") return connection?.abort(new Error("Another machine has been started here."));
    if (connection === undefined) return;
    try {
      await this.#takeIn(on, connection);
    } catch (error) {
      this.#enter(before);
      this.#events.onFault(error, "stays-there", this.#settings.where);
    }
  }

  cancel(): void {
    this.#moving?.cancel();
    this.#stopWaiting?.();
  }

  cut(): void {
    this.#moving?.cut();
  }

  async #takeIn(on: Side, connection: Connection): Promise<void> {
    this.#enter({ is: "awaiting", on, hasBegun: true });
    if (on.state !== "empty") await on.discard();
    await (await on.worker()).receive(connection, { memoryLimitBytes: MEMORY_LIMIT_BYTES });
    this.#enter({ is: "here", on, report: undefined });
  }

  async #move(from: Side, to: Where, migrate: (worker: MachineWorker) => Promise<MigrationReport>): Promise<void> {
    const before = this.#situation;
    this.#enter({ is: "moving", from, to });
    try {
      this.#moving = await from.worker();
      if (from.state === "paused") await this.#moving.resume();
      this.#events.onReport(await migrate(this.#moving));
    } catch (error) {
      const report = (error as { readonly report?: MigrationReport }).report;
      const fate: Fate = from.state === "failed" ? "crashed" : codeOf(error) === "in-doubt" ? "in-doubt" : "goes-on";
      this.#enter(from.state === "failed" ? { is: "empty" } : before);
      if (report !== undefined) this.#events.onReport(report);
      this.#events.onFault(error, fate, to);
    } finally {
      this.#moving = undefined;
    }
  }

  #enter(situation: Situation): void {
    this.#situation = situation;
    this.#events.onSituation(situation);
  }
}
