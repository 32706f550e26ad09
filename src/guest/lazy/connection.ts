import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { GuestError } from "../errors.js";
import { encodeRecord, type LazyRecord, RecordKind, RecordParser } from "./record.js";
import type { LazyServerOptions } from "./server.js";

const PROGRAM = fileURLToPath(new URL("server-process.js", import.meta.url));
/** What libuv has by default. Each file that is served takes up one thread more. */
const OTHER_THREADS = 4;

/** The process that serves a machine's memory, as its receiver sees it. */
export class LazyServerProcess {
  /** Called with `fault`, `waited` and `trouble`. */
  onRecord: (record: LazyRecord) => void = () => {};
  /** It has ended. */
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #questions: { resolve(): void; reject(error: Error): void }[] = [];
  #failure: GuestError | undefined;
  #begin: (error?: GuestError) => void = () => {};

  private constructor(options: LazyServerOptions) {
    const threads = OTHER_THREADS + options.files.length;
    // Not of this process's group: what ends this process by a key does not end it.
    this.#process = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], {
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      env: { ...process.env, UV_THREADPOOL_SIZE: String(threads) },
    });
    this.#exited = once(this.#process, "exit");
    this.#exited.catch(() => {});
    const fail = (why: string): void => this.#fail(`The process that serves the machine's memory ${why}.`);
    this.#process.on("error", ({ message }) => fail(`cannot be started: ${message}`));
    const parser = new RecordParser();
    this.#socket.on("data", (chunk) => {
      for (const record of parser.push(chunk)) this.#take(record);
    });
    this.#socket.on("error", () => {});
    this.ended = new Promise((resolve) => {
      this.#socket.on("close", () => {
        fail("has ended");
        resolve();
      });
    });
  }

  /** Starts it; when this resolves, the files are mounted. Throws `lazy-unavailable` with what it says. */
  static async start(options: LazyServerOptions): Promise<LazyServerProcess> {
    const server = new LazyServerProcess(options);
    await new Promise<void>((resolve, reject) => {
      server.#begin = (error) => (error === undefined ? resolve() : reject(error));
    });
    server.#process.unref();
    server.#socket.unref();
    return server;
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  /** Tells it something. Throws `guest-failed` where it has gone. */
  tell(kind: number, file = 0, firstPage = 0, pageCount = 0): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#socket.write(encodeRecord(kind, file, firstPage, pageCount));
  }

  /** Resolves when it has dealt with all that it was told. Rejects with `guest-failed` where it has gone. */
  async settle(): Promise<void> {
    this.tell(RecordKind.settle);
    this.#socket.ref();
    try {
      await new Promise<void>((resolve, reject) => this.#questions.push({ resolve, reject }));
    } finally {
      if (this.#questions.length === 0) this.#socket.unref();
    }
  }

  /** Lets go of it: it ends now, or with the machine. */
  letGo(): void {
    this.#socket.destroy();
  }

  /** Lets go of it, and waits until it has ended. */
  async end(): Promise<void> {
    this.letGo();
    this.#process.ref();
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.#exited.catch(() => {});
  }

  get #socket(): Socket {
    return this.#process.stdio[3] as Socket;
  }

  #take(record: LazyRecord): void {
    if (record.kind === RecordKind.ready) this.#begin();
    else if (record.kind === RecordKind.settle) this.#questions.shift()?.resolve();
    else {
      // Where it is ready already, this comes too late for it to matter.
      if (record.text !== undefined) this.#begin(new GuestError("lazy-unavailable", record.text));
      this.onRecord(record);
    }
  }

  #fail(message: string): void {
    this.#failure ??= new GuestError("guest-failed", message);
    this.#begin(new GuestError("lazy-unavailable", message));
    for (const { reject } of this.#questions.splice(0)) reject(this.#failure);
  }
}
