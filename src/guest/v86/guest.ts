import { GuestError } from "../errors.js";
import type { Guest, InPlaceMemory, Machine } from "../guest.js";
import { type ConsoleText, joinConsole } from "./console-state.js";
import {
  checkMemoryBytes,
  checkPages,
  type EmulatorWatch,
  PAGE_BYTES,
  type V86Emulator,
  type V86Shape,
  watchEmulator,
} from "./emulator.js";
import { saveState } from "./state.js";

const WASM_PAGE_BYTES = 65536;

/** What a {@link V86Guest} cannot ask its emulator. */
export interface V86GuestOptions {
  readonly name: string;
  readonly shape: V86Shape;
  /** Where what it prints on its first serial port shall move with it. */
  readonly consoleText?: Pick<ConsoleText, "bytes">;
}

/**
 * A machine that the emulator v86 runs in this thread. v86 runs it in slices of some milliseconds: between two turns of the event loop its
 * memory and devices stand still.
 */
export class V86Guest implements Guest {
  readonly machine: Machine;
  /** Absent where the emulator does not show its WebAssembly memory. */
  declare readonly inPlace?: InPlaceMemory;
  readonly #memoryBytes: number;
  readonly #watch: EmulatorWatch;
  readonly #consoleText: Pick<ConsoleText, "bytes"> | undefined;
  #emulator: V86Emulator | undefined;
  /** The last of the pauses and resumes: v86's own lose each other when they overlap. */
  #turn: Promise<unknown> = Promise.resolve();

  /** Throws `argument` where the emulator's memory has another size. */
  constructor(emulator: V86Emulator, { name, shape, consoleText }: V86GuestOptions) {
    const { memoryBytes, vgaMemoryBytes, version } = shape;
    checkMemoryBytes(emulator, memoryBytes);
    this.#emulator = emulator;
    this.#memoryBytes = memoryBytes;
    this.#consoleText = consoleText;
    this.#watch = watchEmulator(emulator);
    this.machine = {
      name,
      kind: "v86",
      pageBytes: PAGE_BYTES,
      regions: [{ name: "ram", byteLength: memoryBytes }],
      configuration: { version, vgaMemoryBytes, hasConsole: consoleText !== undefined },
    };
    const memory = emulator.v86?.cpu.wasm_memory;
    if (memory !== undefined && memory.buffer === emulator.read_memory(0, 1).buffer) {
      this.inPlace = this.#offerInPlace(memory);
    }
  }

  readPages(firstPage: number, into: Uint8Array): void {
    into.set(this.#view(firstPage, into.length));
  }

  /** Throws `guest-failed` where the machine has failed: it is then stopped, but in no state to go on from. */
  async pause(): Promise<void> {
    await this.#inTurn(async (emulator) => {
      await emulator.stop();
      this.#checkHealth();
    });
  }

  async resume(): Promise<void> {
    await this.#inTurn(async (emulator) => {
      this.#checkHealth();
      if (!emulator.is_running()) await emulator.run();
    });
  }

  /** A state of v86 without memory: about 3 MB, nearly all of it the memory of the VGA card, which compresses to some 10 kB. */
  async saveState(): Promise<Uint8Array> {
    return await this.#inTurn(async (emulator) => {
      this.#checkHealth();
      if (emulator.is_running()) throw new GuestError("argument", "The machine must be paused to save its state.");
      const state = await saveState(emulator, this.#memoryBytes);
      return this.#consoleText === undefined ? state : joinConsole(this.#consoleText.bytes, state);
    });
  }

  async release(): Promise<void> {
    const emulator = this.#emulator;
    this.#emulator = undefined;
    await this.#turn;
    await emulator?.destroy();
  }

  #offerInPlace(memory: WebAssembly.Memory): InPlaceMemory {
    let room: { readonly byteOffset: number; readonly byteLength: number } | undefined;
    return {
      memory,
      scratch: (byteLength) => {
        if (room === undefined) {
          const wasmPages = Math.ceil(byteLength / WASM_PAGE_BYTES);
          const byteOffset = memory.grow(wasmPages) * WASM_PAGE_BYTES;
          room = { byteOffset, byteLength: wasmPages * WASM_PAGE_BYTES };
        }
        if (byteLength > room.byteLength) {
          throw new GuestError("argument", `The scratch memory has ${room.byteLength} bytes, not ${byteLength}.`);
        }
        return room;
      },
      view: (firstPage, pageCount) => this.#view(firstPage, pageCount * PAGE_BYTES),
    };
  }

  #view(firstPage: number, byteLength: number): Uint8Array {
    checkPages(this.#memoryBytes, firstPage, byteLength);
    return this.#current().read_memory(firstPage * PAGE_BYTES, byteLength);
  }

  #current(): V86Emulator {
    if (this.#emulator === undefined) throw new GuestError("argument", "The machine was released.");
    return this.#emulator;
  }

  #checkHealth(): void {
    if (this.#watch.failure !== undefined) throw this.#watch.failure;
  }

  async #inTurn<Result>(work: (emulator: V86Emulator) => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(() => work(this.#current()));
    this.#turn = result.catch(() => undefined);
    return await result;
  }
}
