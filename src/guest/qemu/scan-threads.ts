import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { bitmapBytes } from "../../kernel/arena.js";
import { FINGERPRINT_BYTES } from "../../kernel/fingerprint.js";
import { compileKernels } from "../../kernel/load.js";
import { GuestError } from "../errors.js";
import type { ScannedWindow, ScanThreads } from "../guest.js";
import type { Ram } from "./ram.js";
import type { ScanAnswer, ScanOrder, ScanThreadData } from "./scan-thread.js";

/** Reading is bound by the memory: more threads than these do not help. */
const MAX_THREADS = 3;
/** While one window of a thread is looked at, it scans the next. */
const SLOTS_PER_THREAD = 2;

interface Slot {
  readonly worker: Worker;
  /** Its number at its worker. */
  readonly index: number;
  readonly bytes: Uint8Array;
}

interface Waiting {
  resolve(answer: ScanAnswer): void;
  reject(error: Error): void;
}

/** Threads that scan a machine's RAM files. */
export class RamScanThreads implements ScanThreads {
  readonly count: number;
  readonly windowsAhead: number;
  readonly fingerprints: Uint8Array;
  readonly log: Uint8Array;
  readonly #ram: Ram;
  readonly #windowBytes: number;
  readonly #bitmapBytes: number;
  readonly #workers: Worker[] = [];
  readonly #free: Slot[] = [];
  readonly #waiting = new Map<Slot, Waiting>();
  #failure: Error | undefined;

  private constructor(ram: Ram, seed: string, windowPages: number, module: WebAssembly.Module) {
    const { pageBytes, pageCount } = ram;
    this.count = Math.max(1, Math.min(MAX_THREADS, availableParallelism() - 1));
    this.windowsAhead = this.count * SLOTS_PER_THREAD;
    this.#ram = ram;
    this.#windowBytes = windowPages * pageBytes;
    this.#bitmapBytes = bitmapBytes(windowPages);
    const fingerprints = new SharedArrayBuffer(pageCount * FINGERPRINT_BYTES);
    const log = new SharedArrayBuffer(bitmapBytes(pageCount));
    this.fingerprints = new Uint8Array(fingerprints);
    this.log = new Uint8Array(log);
    const slotBytes = this.#windowBytes + this.#bitmapBytes;
    for (let thread = 0; thread < this.count; thread++) {
      const slots = Array.from({ length: SLOTS_PER_THREAD }, () => new SharedArrayBuffer(slotBytes));
      const workerData: ScanThreadData = { module, seed, pageBytes, windowPages, fingerprints, log, slots };
      this.#startThread(workerData);
    }
    // In turn, so that windows that follow each other go to different threads.
    this.#free.sort((left, right) => left.index - right.index);
  }

  /** Starts a thread for every core but the caller's, three at most. They hold no process back that wants to end. */
  static async start(ram: Ram, seed: string, windowPages: number): Promise<RamScanThreads> {
    return new RamScanThreads(ram, seed, windowPages, await compileKernels());
  }

  async scan(firstPage: number, pageCount: number): Promise<ScannedWindow> {
    const slot = this.#free.shift();
    if (this.#failure !== undefined) throw this.#failure;
    if (slot === undefined) throw new GuestError("argument", "More windows are under way than there are places for.");
    const place = this.#ram.locate(firstPage);
    const order: ScanOrder = { ...place, slot: slot.index, firstPage, pageCount };
    const answering = new Promise<ScanAnswer>((resolve, reject) => this.#waiting.set(slot, { resolve, reject }));
    slot.worker.postMessage(order);
    const { dirtyCount, scanMs, error } = await answering;
    if (error !== undefined) throw new GuestError("guest-failed", `The machine's memory cannot be read: ${error}.`);
    return {
      pages: slot.bytes.subarray(0, this.#windowBytes),
      dirty: slot.bytes.subarray(this.#windowBytes),
      dirtyCount,
      scanMs,
      release: () => this.#free.push(slot),
    };
  }

  /** Ends the threads; what is under way rejects. */
  async close(): Promise<void> {
    this.#fail(new GuestError("argument", "The threads that scan the memory were ended."));
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #startThread(workerData: ScanThreadData): void {
    const worker = new Worker(new URL("scan-thread.js", import.meta.url), { workerData });
    worker.unref();
    const slots = workerData.slots.map((slot, index): Slot => ({ worker, index, bytes: new Uint8Array(slot) }));
    worker.on("message", (answer: ScanAnswer) => {
      const slot = slots[answer.slot] as Slot;
      const waiting = this.#waiting.get(slot);
      this.#waiting.delete(slot);
      waiting?.resolve(answer);
    });
    worker.on("error", ({ message }) =>
      this.#fail(new GuestError("guest-failed", `A thread that scans ended: ${message}`)),
    );
    this.#workers.push(worker);
    this.#free.push(...slots);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}
