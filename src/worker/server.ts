import { GuestError } from "../guest/errors.js";
import type { Machine } from "../guest/guest.js";
import { opfsStorage } from "../guest/snapshot/opfs.js";
import { type SavedSnapshot, SnapshotStore } from "../guest/snapshot/store.js";
import type { V86Library } from "../guest/v86/create.js";
import { createKernels } from "../kernel/load.js";
import { Destination } from "../migration/destination.js";
import { type Migration, MigrationFailure, migrate, type ProgressEvent } from "../migration/migrate.js";
import type { MigrationReport } from "../migration/report.js";
import type { Connection } from "../transport/connection.js";
import { TransportError } from "../transport/errors.js";
import { delayConnection } from "../transport/latency.js";
import { limitBandwidth } from "../transport/limit.js";
import { messagePortConnection } from "../transport/message-port.js";
import { AnyHost } from "./any-host.js";
import { Feed } from "./feed.js";
import type { ComingMachine, PresentMachine } from "./machine.js";
import { receiveMemory, startMemory } from "./memory.js";
import type { MachineNews, MachineSource, MachineState, Order, Orders, Word, WorkerArrival } from "./messages.js";
import { standingStill } from "./snapshots.js";
import { fetchV86, receiveV86, startV86 } from "./v86.js";

const PACE_EVERY_MS = 500;

/** The worker's side: does what the page orders, one after another where it must be, and tells what happens. */
export class MachineServer {
  readonly #post: (word: Word, transfer: Transferable[]) => void;
  readonly #feed: Feed;
  #v86: V86Library | undefined;
  #store: SnapshotStore | undefined;
  #machine: PresentMachine | undefined;
  #state: MachineState = "empty";
  #moving: { readonly connection: Connection; readonly cancel: AbortController } | undefined;
  #paceTimer: ReturnType<typeof setInterval> | undefined;

  constructor(post: (word: Word, transfer: Transferable[]) => void) {
    this.#post = post;
    this.#feed = new Feed(post);
  }

  /** Takes an order; what comes of it is posted. */
  async take(order: Order): Promise<void> {
    const { id } = order;
    try {
      const out = await this.#obey(order);
      this.#feed.flush();
      this.#post({ news: "done", id, out }, []);
    } catch (error) {
      this.#feed.flush();
      const { code = "worker-failed", message } = error as Error & { code?: string };
      const report = error instanceof MigrationFailure ? { report: error.report } : {};
      this.#post({ news: "failed", id, code, message, ...report }, []);
    }
  }

  /** Something was thrown that nobody caught: from the inside of an emulator, which cannot go on then. */
  takeUncaught(error: unknown): void {
    if (this.#machine !== undefined) this.#fail(this.#machine, error as Error);
  }

  #obey(order: Order): Promise<unknown> | undefined {
    switch (order.order) {
      case "open":
        return this.#open(order.in);
      case "start":
        return this.#start(order.in);
      case "type":
        this.#machine?.type(order.in.port, order.in.text);
        return undefined;
      case "pause":
        return this.#pause();
      case "resume":
        return this.#resume();
      case "migrate":
        return this.#migrate(order.in);
      case "cancel":
        this.#moving?.cancel.abort();
        return undefined;
      case "cut":
        this.#moving?.connection.abort(new TransportError("connection-lost", "The link was cut."));
        return undefined;
      case "receive":
        return this.#receive(order.in);
      case "listSnapshots":
        return this.#snapshots((store) => store.list());
      case "saveSnapshot":
        return this.#save();
      case "restoreSnapshot":
        return this.#restore(order.in);
      case "removeSnapshot":
        return this.#snapshots((store) => store.remove(order.in.id));
      case "exportSnapshot":
        return this.#snapshots((store) => store.export(order.in.id));
      case "importSnapshot":
        return this.#snapshots((store) => store.import(order.in.bytes));
    }
  }

  async #open({ v86 }: Orders["open"]["in"]): Promise<void> {
    await createKernels();
    if (v86 !== undefined) this.#v86 = await fetchV86(v86);
  }

  async #start(source: MachineSource): Promise<void> {
    this.#expect("empty", "failed");
    this.#enter("arriving");
    try {
      this.#put(source.kind === "memory" ? startMemory(source) : await startV86(this.#library(), source, this.#feed));
    } catch (error) {
      this.#enter("empty");
      throw error;
    }
  }

  async #pause(): Promise<void> {
    this.#expect("running");
    await this.#machine?.guest.pause();
    this.#enter("paused");
  }

  /** Also where a handover's answer was lost and a person knows better. */
  async #resume(): Promise<void> {
    this.#expect("paused", "in-doubt");
    await this.#machine?.guest.resume();
    this.#enter("running");
  }

  async #migrate({ port, options }: Orders["migrate"]["in"]): Promise<MigrationReport> {
    this.#expect("running");
    const machine = this.#machine as PresentMachine;
    const { bytesPerSecond, latencyMs, ...rest } = options;
    const inner = messagePortConnection(port);
    const delayed = latencyMs === undefined ? inner : delayConnection(inner, { latencyMs });
    const connection = bytesPerSecond === undefined ? delayed : limitBandwidth(delayed, { bytesPerSecond });
    const cancel = new AbortController();
    let migration: Migration;
    try {
      migration = migrate(machine.guest, connection, {
        ...rest,
        signal: cancel.signal,
        onPages: (pages, classes, round) => this.#feed.pages(pages, classes, round),
      });
    } catch (error) {
      connection.abort(error as Error);
      throw error;
    }
    this.#moving = { connection, cancel };
    this.#enter("leaving");
    migration.addEventListener("progress", (event) => this.#feed.progress((event as ProgressEvent).progress));
    try {
      const report = await migration.report;
      this.#leave("empty");
      return report;
    } catch (error) {
      if (this.#machine === machine) {
        const isInDoubt = error instanceof MigrationFailure && error.code === "in-doubt";
        this.#enter(isInDoubt ? "in-doubt" : "running");
      }
      throw error;
    } finally {
      this.#moving = undefined;
    }
  }

  async #receive({ port, memoryLimitBytes }: Orders["receive"]["in"]): Promise<WorkerArrival | undefined> {
    this.#expect("empty", "failed");
    this.#enter("arriving");
    const host = new AnyHost((machine) => this.#comingOf(machine));
    const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes });
    try {
      const arrival = await destination.receive(messagePortConnection(port));
      if (arrival === undefined) {
        this.#enter("empty");
        return undefined;
      }
      this.#put(host.present());
      const { host: _, ...told } = arrival;
      return told;
    } catch (error) {
      this.#enter("empty");
      throw error;
    }
  }

  #save(): Promise<SavedSnapshot> {
    this.#expect("running", "paused");
    const { guest } = this.#machine as PresentMachine;
    return this.#snapshots((store) => store.save(this.#state === "paused" ? standingStill(guest) : guest));
  }

  async #restore({ id }: Orders["restoreSnapshot"]["in"]): Promise<void> {
    this.#expect("empty", "failed");
    this.#enter("arriving");
    const host = new AnyHost((machine) => this.#comingOf(machine));
    try {
      await this.#snapshots((store) => store.restore(id, host));
      this.#put(host.present());
    } catch (error) {
      this.#enter("empty");
      throw error;
    }
  }

  async #snapshots<Result>(work: (store: SnapshotStore) => Promise<Result>): Promise<Result> {
    this.#store ??= await SnapshotStore.open(await opfsStorage());
    return await work(this.#store);
  }

  #comingOf({ kind, name }: Machine): ComingMachine {
    if (kind === "memory") return receiveMemory();
    if (kind === "v86") return receiveV86(this.#library(), name, this.#feed);
    throw new GuestError("machine-unfit", `Machines of the kind ${JSON.stringify(kind)} cannot run in a browser.`);
  }

  #library(): V86Library {
    if (this.#v86 === undefined) throw new GuestError("missing-program", "This worker was not told where v86 is.");
    return this.#v86;
  }

  #put(machine: PresentMachine): void {
    this.#machine = machine;
    machine.failed.then((error) => this.#fail(machine, error));
    this.#enter("running");
    this.#measurePace(machine);
  }

  #fail(machine: PresentMachine, { message }: Error): void {
    if (this.#machine !== machine) return;
    this.#leave("failed", message);
    machine.guest.release().catch(() => {});
  }

  /** Without the machine. */
  #leave(state: "empty" | "failed", reason?: string): void {
    clearInterval(this.#paceTimer);
    this.#machine = undefined;
    this.#enter(state, reason);
  }

  #measurePace(machine: PresentMachine): void {
    let lastMs = performance.now();
    let last = machine.instructions() ?? 0;
    this.#paceTimer = setInterval(() => {
      const nowMs = performance.now();
      const now = machine.instructions();
      const instructionsPerSecond = now === undefined ? undefined : (((now - last) >>> 0) / (nowMs - lastMs)) * 1000;
      lastMs = nowMs;
      last = now ?? 0;
      this.#tell({ news: "pace", instructionsPerSecond });
    }, PACE_EVERY_MS);
  }

  #expect(...states: MachineState[]): void {
    if (states.includes(this.#state)) return;
    throw new GuestError("argument", `The worker's machine is ${this.#state}, and not ${states.join(" or ")}.`);
  }

  #enter(state: MachineState, reason?: string): void {
    this.#state = state;
    this.#feed.flush();
    this.#tell({ news: "state", state, ...(reason !== undefined && { reason }) });
  }

  #tell(news: MachineNews): void {
    this.#post(news, []);
  }
}
