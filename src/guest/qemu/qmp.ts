import type { Socket } from "node:net";
import { checkTimeout, openQmpSocket, type QmpAddress, type QmpTimeout } from "./address.js";
import { QmpError } from "./errors.js";
import { LineCutter } from "./lines.js";
import { malformed, parseQmpMessage, type QmpEvent, type QmpMessage } from "./message.js";

const CONNECT_TIMEOUT_MS = 10_000;
const COMMAND_TIMEOUT_MS = 30_000;
const EVENT_TIMEOUT_MS = 30_000;
/** QEMU's longest answer, its schema, has some 200 KB. */
const MAX_LINE_BYTES: number = 4 << 20;

/** Something that waits for the server. */
interface Waiter<Value> {
  resolve(value: Value): void;
  reject(reason: QmpError): void;
}

interface EventWaiter extends Waiter<QmpEvent> {
  readonly name: string;
  isMeant(event: QmpEvent): boolean;
}

/**
 * A client of QMP, the protocol by which QEMU is controlled. Commands may be outstanding together. A server that says anything out of order
 * is left at once, and whatever waits for it rejects with `malformed`; where it goes away, with `closed`.
 */
export class QmpClient {
  readonly #socket: Socket;
  readonly #commands = new Map<number, Waiter<unknown>>();
  readonly #events = new Set<EventWaiter>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #closed: Promise<void>;
  #greeting: Waiter<string> | undefined;
  #version = "";
  #lastId = 0;
  #failure: QmpError | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const lines = new LineCutter(MAX_LINE_BYTES);
    socket.on("data", (bytes: Buffer) => this.#read(lines, bytes));
    socket.on("error", (cause) => this.#fail(new QmpError("closed", "The connection to QEMU is lost.", { cause })));
    this.#closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#fail(new QmpError("closed", "QEMU has closed the connection: it has ended, or was ended."));
        resolve();
      });
    });
  }

  /**
   * Connects and takes up the conversation. QEMU talks with one client at a time on each of its QMP sockets: where there is another, this
   * ends with `timeout`. Default of `timeoutMs`: 10,000. Throws `argument`, `connect-failed`, `timeout`, `closed`, `malformed`.
   */
  static async connect(address: QmpAddress, { timeoutMs = CONNECT_TIMEOUT_MS }: QmpTimeout = {}): Promise<QmpClient> {
    checkTimeout(timeoutMs);
    const deadline = performance.now() + timeoutMs;
    const client = new QmpClient(await openQmpSocket(address, timeoutMs));
    const leftMs = (): number => Math.max(1, deadline - performance.now());
    try {
      const greeted = "QEMU's greeting (does another client hold this socket?)";
      client.#version = await client.#wait<string>(greeted, leftMs(), (waiter) => {
        client.#greeting = waiter;
      });
      await client.execute("qmp_capabilities", undefined, { timeoutMs: leftMs() });
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** QEMU's version, as "7.2.22". */
  get version(): string {
    return this.#version;
  }

  /**
   * Runs a command and gives its answer. It is of the shape that QEMU's documents promise for it; a caller that depends on more than its
   * being there checks it. Default of `timeoutMs`: 30,000; a command that took longer may still have its effect. Throws `command-failed` with
   * QEMU's words, `timeout`, `closed`, `malformed`, `argument`.
   */
  async execute<Result = unknown>(
    command: string,
    parameters?: Readonly<Record<string, unknown>>,
    { timeoutMs = COMMAND_TIMEOUT_MS }: QmpTimeout = {},
  ): Promise<Result> {
    checkTimeout(timeoutMs);
    this.#lastId += 1;
    const id = this.#lastId;
    try {
      return (await this.#wait<unknown>(`QEMU's answer to ${command}`, timeoutMs, (waiter) => {
        this.#commands.set(id, waiter);
        this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
      })) as Result;
    } finally {
      this.#commands.delete(id);
    }
  }

  /**
   * The next event of this name, and of this meaning, that comes from now on: call it before the command that causes the event, and await
   * it afterwards. (Nobody need await it: it is no unhandled rejection.) Default of `timeoutMs`: 30,000. Rejects with `timeout`, `closed`,
   * `malformed`, `argument`, and what `isMeant` throws.
   */
  nextEvent(
    name: string,
    isMeant: (event: QmpEvent) => boolean = () => true,
    { timeoutMs = EVENT_TIMEOUT_MS }: QmpTimeout = {},
  ): Promise<QmpEvent> {
    const next = this.#awaitEvent(name, isMeant, timeoutMs);
    next.catch(() => {});
    return next;
  }

  /** Calls `listener` with every event from now on, until the function that this returns is called. It must not throw. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Leaves the server, which goes on. What still waits rejects with `closed`. Calling it again changes nothing. */
  close(): Promise<void> {
    this.#fail(new QmpError("closed", "This side has closed the connection to QEMU."));
    return this.#closed;
  }

  async #awaitEvent(name: string, isMeant: (event: QmpEvent) => boolean, timeoutMs: number): Promise<QmpEvent> {
    checkTimeout(timeoutMs);
    let entry: EventWaiter | undefined;
    try {
      return await this.#wait<QmpEvent>(`QEMU's event ${name}`, timeoutMs, (waiter) => {
        entry = { ...waiter, name, isMeant };
        this.#events.add(entry);
      });
    } finally {
      if (entry !== undefined) this.#events.delete(entry);
    }
  }

  /** Hands a new waiter to `enter`, and waits for what becomes of it. */
  async #wait<Value>(what: string, timeoutMs: number, enter: (waiter: Waiter<Value>) => void): Promise<Value> {
    if (this.#failure !== undefined) throw this.#failure;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Value>((resolve, reject) => {
        timer = setTimeout(() => {
          reject(new QmpError("timeout", `${what} did not come within ${Math.round(timeoutMs)} ms.`));
        }, timeoutMs);
        enter({ resolve, reject });
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #read(lines: LineCutter, bytes: Uint8Array): void {
    try {
      for (const line of lines.push(bytes)) {
        if (this.#failure !== undefined) return;
        this.#take(parseQmpMessage(line));
      }
    } catch (error) {
      if (error instanceof QmpError) this.#fail(error);
      else if (error instanceof RangeError) this.#fail(malformed(`a line of more than ${MAX_LINE_BYTES >> 20} MiB`));
      else throw error;
    }
  }

  #take(message: QmpMessage): void {
    if ((message.kind === "greeting") !== (this.#greeting !== undefined))
      throw malformed("a greeting out of turn, or none");
    switch (message.kind) {
      case "greeting":
        this.#greeting?.resolve(message.version);
        this.#greeting = undefined;
        break;
      case "event":
        this.#tell(message);
        break;
      case "return":
        this.#answered(message.id)?.resolve(message.value);
        break;
      case "error": {
        const { qemuClass, description } = message;
        const waiter = this.#answered(message.id);
        waiter?.reject(new QmpError("command-failed", `QEMU refuses: ${description}`, { qemuClass }));
      }
    }
  }

  /** Who waits for this answer: nobody, where the time was over before. */
  #answered(id: number): Waiter<unknown> | undefined {
    if (id > this.#lastId) throw malformed("an answer to what was not asked");
    return this.#commands.get(id);
  }

  #tell({ event, data, timeMs }: QmpEvent): void {
    const told: QmpEvent = { event, data, timeMs };
    for (const waiter of this.#events) {
      if (waiter.name !== event) continue;
      try {
        if (waiter.isMeant(told)) waiter.resolve(told);
      } catch (error) {
        waiter.reject(error as QmpError);
      }
    }
    for (const listener of this.#listeners) listener(told);
  }

  #fail(failure: QmpError): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#socket.destroy();
    this.#greeting?.reject(failure);
    for (const waiter of [...this.#commands.values(), ...this.#events]) waiter.reject(failure);
  }
}
