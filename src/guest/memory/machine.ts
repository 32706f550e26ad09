import { GuestError } from "../errors.js";
import type { Machine } from "../guest.js";
import { type Workload, WorkloadWriter } from "./workload.js";

/** A machine that is nothing but memory and a workload on it. */
export interface MemoryMachineOptions extends Workload {
  readonly name: string;
  readonly memoryBytes: number;
  readonly pageBytes: number;
}

const WASM_PAGE_BYTES = 65536;
const TICK_MS = 5;
const MAX_MEMORY_BYTES = 3 * 2 ** 30;

/** The memory, in a Wasm memory so that it can be scanned in place, and the clock that drives the workload. */
export class MemoryMachine {
  readonly options: MemoryMachineOptions;
  readonly memory: WebAssembly.Memory;
  /** Hears of every page that is written. */
  onWrite: ((page: number) => void) | undefined;
  /** Is asked before a page is touched: where it says false, the machine waits before it, and asks again. */
  mayTouch: ((page: number) => boolean) | undefined;
  /** The steps that were done when the machine came to stand here. */
  startedAt = 0;
  readonly #writer: WorkloadWriter;
  #timer: ReturnType<typeof setInterval> | undefined;
  #speed = 1;

  /** A machine that stands still, its memory all zero. Throws `argument`. */
  constructor(options: MemoryMachineOptions) {
    const { memoryBytes, pageBytes, workingSetPages, bytesPerPage, pagesPerSecond } = options;
    const isPossible =
      memoryBytes > 0 &&
      memoryBytes <= MAX_MEMORY_BYTES &&
      memoryBytes % pageBytes === 0 &&
      workingSetPages > 0 &&
      workingSetPages <= memoryBytes / pageBytes &&
      bytesPerPage >= 0 &&
      bytesPerPage <= pageBytes &&
      pagesPerSecond >= 0;
    if (!isPossible) throw new GuestError("argument", "This workload does not fit into such a memory.");
    this.options = options;
    this.memory = new WebAssembly.Memory({ initial: Math.ceil(memoryBytes / WASM_PAGE_BYTES) });
    this.#writer = new WorkloadWriter(options, pageBytes);
  }

  /** The memory; to be taken anew each turn. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.memory.buffer, 0, this.options.memoryBytes);
  }

  /** Writes done so far: what a user of the machine would see as its counter. */
  get steps(): number {
    return this.#writer.steps;
  }

  get isRunning(): boolean {
    return this.#timer !== undefined;
  }

  /** Puts the content of the start into the memory. */
  fill(): void {
    this.#writer.fill(this.bytes);
  }

  run(): void {
    if (this.isRunning) return;
    let lastMs = performance.now();
    let due = this.#writer.steps;
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      due += ((nowMs - lastMs) / 1000) * this.options.pagesPerSecond * this.#speed;
      lastMs = nowMs;
      this.advance(Math.floor(due) - this.#writer.steps);
      // What it could not do while it waited for a page is not made up for.
      due = Math.min(due, this.#writer.steps + 1);
    }, TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Does so many steps at once, also while it stands still: for tests that want no clock. */
  advance(steps: number): void {
    this.#writer.advanceTo(this.#writer.steps + steps, this.bytes, this.onWrite, this.mayTouch);
  }

  /** Slows the clock down to a share of its speed. */
  setSpeed(speed: number): void {
    this.#speed = speed;
  }

  /** Goes on where another machine of the same kind stood. */
  continueFrom(steps: number): void {
    this.#writer.continueFrom(steps);
    this.startedAt = steps;
  }

  /** The pages whose content is not what the workload has made of them; everything is done again beside it to tell. */
  wrongPages(): number[] {
    const { memoryBytes, pageBytes } = this.options;
    const writer = new WorkloadWriter(this.options, pageBytes);
    const expected = new Uint8Array(memoryBytes);
    writer.fill(expected);
    writer.advanceTo(this.steps, expected);
    const words = (bytes: Uint8Array): Int32Array => new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const left = words(expected);
    const right = words(this.bytes);
    const wrong = new Set<number>();
    for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) wrong.add(Math.floor((at * 4) / pageBytes));
    return [...wrong];
  }

  /** What a host must know to make a machine like this one. */
  describe(): Machine {
    const { name, memoryBytes, pageBytes, ...workload } = this.options;
    return {
      name,
      kind: "memory",
      pageBytes,
      regions: [{ name: "ram", byteLength: memoryBytes }],
      configuration: { ...workload },
    };
  }
}
