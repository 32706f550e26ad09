import type { MigrationReport } from "../migration/report.js";
import type { Connection } from "../transport/connection.js";
import { messagePortConnection } from "../transport/message-port.js";
import { pipeConnections } from "../transport/pipe.js";
import { WorkerError } from "./errors.js";
import type {
  MachineNews,
  MachineSource,
  MachineState,
  Orders,
  V86Location,
  Word,
  WorkerArrival,
  WorkerMigrateOptions,
} from "./messages.js";
import { WorkerSnapshots } from "./snapshots.js";

/** Options of {@link MachineWorker.open}. */
export interface MachineWorkerOptions {
  /**
   * Makes the worker, of the file `pageferry/worker`, as a module. Default: the file `worker.js` beside the library's own; bundlers that do not take
   * it along want to be told, as docs/browser.md shows.
   */
  readonly worker?: () => Worker;
  /** Where v86 is; without it only machines of the kind `memory` can be taken. */
  readonly v86?: V86Location;
  /** Hears all that the worker tells by itself. */
  readonly onNews?: (news: MachineNews) => void;
}

interface Waiting {
  resolve(out: unknown): void;
  reject(error: WorkerError): void;
}

/**
 * A worker with at most one machine, and the engine that moves it: both on one thread of their own, so that neither the page disturbs the machine nor
 * the machine the page. The machine's memory is scanned where it is.
 */
export class MachineWorker {
  /** Saves the machine, and brings saved ones back. */
  readonly snapshots: WorkerSnapshots = new WorkerSnapshots((order, argument) => this.#order(order, argument));
  readonly #worker: Worker;
  readonly #onNews: (news: MachineNews) => void;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #state: MachineState = "empty";
  #failure: WorkerError | undefined;

  private constructor({ worker = defaultWorker, onNews = () => {} }: MachineWorkerOptions) {
    this.#onNews = onNews;
    this.#worker = worker();
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Word>) => this.#take(data));
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#fail(new WorkerError("worker-failed", `The worker has failed: ${event.message || "it cannot be loaded"}.`));
    });
    this.#worker.addEventListener("messageerror", () =>
      this.#fail(new WorkerError("worker-failed", "The worker said something that cannot be read.")),
    );
  }

  /** Starts a worker. Rejects with a {@link WorkerError}: `simd-missing`, `missing-program` where v86 cannot be loaded, `worker-failed`. */
  static async open(options: MachineWorkerOptions = {}): Promise<MachineWorker> {
    const machine = new MachineWorker(options);
    const { v86 } = options;
    try {
      await machine.#order("open", {
        v86: v86 && { version: v86.version, scriptUrl: absolute(v86.scriptUrl), wasmUrl: absolute(v86.wasmUrl) },
      });
      return machine;
    } catch (error) {
      machine.close();
      throw error;
    }
  }

  get state(): MachineState {
    return this.#state;
  }

  /** Starts a machine in an empty worker. */
  async start(machine: MachineSource): Promise<void> {
    await this.#order("start", machine);
  }

  /** What a person types on the machine's console, its first serial port. */
  type(text: string): void {
    this.#say("type", { port: 0, text });
  }

  /** A line for the command line on the second serial port; what it answers is news. */
  command(line: string): void {
    this.#say("type", { port: 1, text: `${line}\n` });
  }

  async pause(): Promise<void> {
    await this.#order("pause", undefined);
  }

  async resume(): Promise<void> {
    await this.#order("resume", undefined);
  }

  /**
   * Moves the machine to a destination at the other end. Rejects with a {@link WorkerError} of the migration's code, and its report; the machine then
   * runs on here, unless the code is `in-doubt`.
   */
  async migrate(to: Connection | MessagePort, options: WorkerMigrateOptions = {}): Promise<MigrationReport> {
    const port = portOf(to);
    return await this.#order("migrate", { port, options }, [port]);
  }

  /** Calls the migration under way off, as long as the machine has not been handed over. */
  cancel(): void {
    this.#say("cancel", undefined);
  }

  /** Breaks the connection of the migration under way. */
  cut(): void {
    this.#say("cut", undefined);
  }

  /** Takes a machine in, into an empty worker. Rejects with a {@link WorkerError}; the worker is empty then. */
  async receive(
    from: Connection | MessagePort,
    { memoryLimitBytes }: { readonly memoryLimitBytes: number },
  ): Promise<WorkerArrival | undefined> {
    const port = portOf(from);
    return await this.#order("receive", { port, memoryLimitBytes }, [port]);
  }

  /** Ends the worker and whatever is in it. */
  close(): void {
    this.#worker.terminate();
    this.#settle(new WorkerError("worker-failed", "The worker was closed."));
  }

  #say<Name extends keyof Orders>(order: Name, argument: Orders[Name]["in"]): void {
    // What comes of it is news, or nothing that anybody waits for.
    this.#order(order, argument).catch(() => {});
  }

  async #order<Name extends keyof Orders>(
    order: Name,
    argument: Orders[Name]["in"],
    transfer: Transferable[] = [],
  ): Promise<Orders[Name]["out"]> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#nextId++;
    this.#worker.postMessage({ order, id, in: argument }, transfer);
    return (await new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))) as Orders[Name]["out"];
  }

  #take(word: Word): void {
    if (word.news === "done" || word.news === "failed") {
      const waiting = this.#waiting.get(word.id);
      this.#waiting.delete(word.id);
      if (word.news === "done") waiting?.resolve(word.out);
      else waiting?.reject(new WorkerError(word.code, word.message, word.report));
      return;
    }
    if (word.news === "state") this.#state = word.state;
    this.#onNews(word);
  }

  #fail(failure: WorkerError): void {
    if (this.#failure !== undefined) return;
    this.#settle(failure);
    this.#state = "failed";
    this.#onNews({ news: "state", state: "failed", reason: failure.message });
  }

  #settle(failure: WorkerError): void {
    this.#failure = failure;
    for (const { reject } of this.#waiting.values()) reject(failure);
    this.#waiting.clear();
  }
}

function defaultWorker(): Worker {
  return new Worker(new URL("../worker.js", import.meta.url), { type: "module" });
}

/** A worker may stand elsewhere than the page, and relative addresses are meant from there. */
function absolute(url: string): string {
  return typeof document === "undefined" ? url : new URL(url, document.baseURI).href;
}

/** What can go into the worker: the port itself, or one whose other end is joined to the connection. */
function portOf(end: Connection | MessagePort): MessagePort {
  if (end instanceof MessagePort) return end;
  const { port1, port2 } = new MessageChannel();
  // Where it ends too soon, the migration in the worker notices and says so.
  pipeConnections(messagePortConnection(port1), end).catch(() => {});
  return port2;
}
