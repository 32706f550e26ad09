import { closeSync, openSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { FuseFile } from "../fuse/file.js";
import { kernelPageBytes } from "../fuse/kernel-page.js";
import { LazyPages } from "./pages.js";
import { encodeRecord, encodeTrouble, type LazyRecord, RecordKind, RecordParser } from "./record.js";

/** What a server is started with. */
export interface LazyServerOptions {
  readonly pageBytes: number;
  readonly maxReadBytes: number;
  readonly files: readonly {
    readonly path: string;
    readonly byteLength: number;
    /** Made for the machine, and removed when it has gone. */
    readonly isNew: boolean;
  }[];
}

interface Served {
  readonly file: number;
  readonly fuse: FuseFile;
  readonly pages: LazyPages;
}

/** Nothing holds a fault up for longer than 2 ms. */
const TURN_MS = 1;
/** What is pushed into the kernel at once. */
const PUSH_BYTES: number = 512 << 10;

/**
 * Serves a machine's memory files while they fill: mounts a file of FUSE over each, and answers what is touched from what lies below. Until the machine runs
 * it ends with the one who receives it; from then on with the machine.
 */
export class LazyServer {
  readonly #options: LazyServerOptions;
  readonly #receiver: Socket;
  readonly #records: LazyRecord[] = [];
  readonly #served: Served[] = [];
  readonly #pushBuffer = new Uint8Array(PUSH_BYTES);
  #isCommitted = false;
  #isWorking = false;
  #isPushing = false;
  #end: () => void = () => {};

  constructor(options: LazyServerOptions, receiver: Socket) {
    this.#options = options;
    this.#receiver = receiver;
  }

  /** Serves, to the end; everything is unmounted then. */
  async run(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.#end = resolve;
    });
    this.#listen();
    try {
      for (const [index, file] of this.#options.files.entries()) this.#served.push(await this.#mount(index, file));
      this.#say(encodeRecord(RecordKind.ready));
      await ended;
    } catch (error) {
      this.#say(encodeTrouble((error as Error).message));
    } finally {
      for (const { fuse, file } of this.#served.splice(0)) {
        await fuse.unmount();
        closeSync(file);
      }
      for (const { path, isNew } of this.#options.files) if (isNew) rmSync(path, { force: true });
      this.#receiver.destroySoon();
    }
  }

  #listen(): void {
    const parser = new RecordParser();
    this.#receiver.on("data", (chunk) => {
      this.#records.push(...parser.push(chunk));
      if (!this.#isWorking) this.#work();
    });
    // A receiver that has gone is noticed by the socket's end.
    this.#receiver.on("error", () => {});
    this.#receiver.on("close", () => {
      if (!this.#isCommitted) this.#end();
    });
  }

  async #mount(index: number, { path, byteLength }: LazyServerOptions["files"][number]): Promise<Served> {
    const { pageBytes, maxReadBytes } = this.#options;
    // Before something is mounted over it: this is the file below.
    const file = openSync(path, "r");
    const pages = new LazyPages({
      file,
      byteLength,
      pageBytes,
      maxReadBytes,
      kernelPageBytes: kernelPageBytes(),
      onFault: ({ firstPage, pageCount }) => this.#say(encodeRecord(RecordKind.fault, index, firstPage, pageCount)),
      onWaited: (ms) => this.#say(encodeRecord(RecordKind.waited, index, 0, Math.min(ms * 1000, 2 ** 32 - 1))),
    });
    const fuse = await FuseFile.mount({
      path,
      byteLength,
      maxReadBytes,
      onRead: (read) => pages.take(read),
      onNotice: (sentence) => this.#say(encodeTrouble(sentence)),
    });
    return { file, fuse, pages };
  }

  /** Takes the records in their order, a turn at a time: reads come in between. */
  #work(): void {
    const endMs = performance.now() + TURN_MS;
    let done = 0;
    while (done < this.#records.length && performance.now() < endMs) {
      this.#take(this.#records[done] as LazyRecord);
      done += 1;
    }
    this.#records.splice(0, done);
    this.#isWorking = this.#records.length > 0;
    if (this.#isWorking) setImmediate(() => this.#work());
    else if (!this.#isPushing) void this.#push();
  }

  #take({ kind, file, firstPage, pageCount }: LazyRecord): void {
    if (kind === RecordKind.arrived) this.#served[file]?.pages.arrived({ firstPage, pageCount });
    else if (kind === RecordKind.settle) this.#say(encodeRecord(RecordKind.settle));
    else if (kind === RecordKind.committed && !this.#isCommitted) this.#commit();
  }

  /** The machine is about to run: nothing but its own end may end this process, for the machine would not survive it. */
  #commit(): void {
    this.#isCommitted = true;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});
    process.on("uncaughtException", () => {});
    void Promise.all(this.#served.map(({ fuse }) => fuse.closed())).then(() => this.#end());
  }

  /** Gives the kernel what has arrived without being asked for, so that it need not ask. */
  async #push(): Promise<void> {
    this.#isPushing = true;
    const { pageBytes } = this.#options;
    try {
      for (;;) {
        const served = this.#served.find(({ pages }) => pages.hasUngiven);
        if (served === undefined) break;
        const range = served.pages.takeUngiven(PUSH_BYTES / pageBytes);
        if (range === undefined) await new Promise(setImmediate);
        else await served.fuse.store(range.firstPage * pageBytes, served.pages.read(range, this.#pushBuffer));
      }
    } catch (error) {
      // Whoever touches these pages hears of it, too.
      this.#say(encodeTrouble((error as Error).message));
    }
    this.#isPushing = false;
  }

  #say(record: Uint8Array): void {
    if (this.#receiver.writable) this.#receiver.write(record);
  }
}
