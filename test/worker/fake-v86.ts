import type { MachineSource, V86Location } from "../../src/worker/messages.js";
import { FAKE_MEMORY_BYTES, FakeEmulator } from "../guest/v86/fake-emulator.js";
import { Random } from "../support/random.js";

/** Where the machine keeps what it counts. */
const COUNTER = 5 * 4096 + 8;
const TICKS_PER_COUNT = 20;

/** A v86 whose machines count on their consoles, until they are told to crash. */
export class FakeV86 extends FakeEmulator {
  /** All that were made, in their order. */
  static readonly made: FakeV86[] = [];
  /** What the machine throws at its next turn. */
  crash: Error | undefined;
  instructions = 0xffff_ff00;

  constructor(options: Record<string, unknown>) {
    super(options["memory_size"] as number);
    this.program = () => this.#turn();
    FakeV86.made.push(this);
  }

  override add_listener(event: string, listener: (value: number) => void): void {
    if (event === "emulator-loaded") queueMicrotask(() => listener(0));
    else super.add_listener(event, listener);
  }

  override get_instruction_counter(): number {
    return this.instructions;
  }

  #turn(): void {
    if (this.crash !== undefined) throw this.crash;
    const { buffer, byteOffset } = this.ram;
    const memory = new DataView(buffer, byteOffset);
    const ticks = memory.getUint32(COUNTER, true) + 1;
    memory.setUint32(COUNTER, ticks, true);
    if (ticks % TICKS_PER_COUNT === 0) this.print(`count ${ticks / TICKS_PER_COUNT}\n`);
  }
}

/** Where the worker fetches it from, and a module of WebAssembly with nothing in it. */
export const FAKE_V86: V86Location = {
  version: "1.2.3",
  scriptUrl: "data:text/javascript,export const V86 = globalThis.fakeV86;",
  wasmUrl: "data:application/wasm;base64,AGFzbQEAAAA=",
};
(globalThis as { fakeV86?: typeof FakeV86 }).fakeV86 = FakeV86;

/** A machine that has not counted yet, but has printed this. */
export async function fakeMachine(printed: string): Promise<MachineSource & { kind: "v86" }> {
  const emulator = new FakeEmulator();
  emulator.ram.set(new Random(1).bytes(100 * 4096), 100 * 4096);
  return {
    kind: "v86",
    name: "fake",
    state: new Uint8Array(await emulator.save_state()),
    memoryBytes: FAKE_MEMORY_BYTES,
    vgaMemoryBytes: 2 << 20,
    consoleText: new TextEncoder().encode(printed),
  };
}
