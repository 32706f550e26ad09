import { GuestError } from "../guest/errors.js";
import { outputEvent } from "../guest/v86/console.js";
import { ConsoleText } from "../guest/v86/console-state.js";
import { createEmulatorOf, type V86Library } from "../guest/v86/create.js";
import { type SerialPort, type V86Emulator, type V86Shape, watchEmulator } from "../guest/v86/emulator.js";
import { V86Guest } from "../guest/v86/guest.js";
import { V86Host } from "../guest/v86/host.js";
import type { ComingMachine, MachineOutput, PresentMachine } from "./machine.js";
import type { MachineSource, V86Location } from "./messages.js";

const CONSOLE: SerialPort = 0;
const COMMANDS: SerialPort = 1;
/** A longer line is cut. */
const MAX_LINE_CHARACTERS = 4096;

/** Fetches v86 from where it is. Throws `missing-program`. */
export async function fetchV86({ version, scriptUrl, wasmUrl }: V86Location): Promise<V86Library> {
  try {
    const [{ V86 }, response] = await Promise.all([
      import(/* @vite-ignore */ /* webpackIgnore: true */ scriptUrl) as Promise<Pick<V86Library, "V86">>,
      fetch(wasmUrl),
    ]);
    if (!response.ok) throw new Error(`${wasmUrl}: status ${response.status}`);
    return { version, V86, module: await WebAssembly.compile(await response.arrayBuffer()) };
  } catch (cause) {
    throw new GuestError("missing-program", `v86 cannot be loaded: ${(cause as Error).message}`, { cause });
  }
}

/** Starts a machine of v86 from a state that v86 has saved. Throws `argument`, `state-malformed` and `guest-failed`. */
export async function startV86(
  library: V86Library,
  { name, state, memoryBytes, vgaMemoryBytes, consoleText }: MachineSource & { kind: "v86" },
  output: MachineOutput,
): Promise<PresentMachine> {
  const { emulator, shape } = await createEmulatorOf(library, { memoryBytes, vgaMemoryBytes });
  const machine = new V86Machine(emulator, shape, name, output);
  try {
    await emulator.restore_state(state.slice().buffer);
  } catch (cause) {
    await emulator.destroy();
    throw new GuestError("state-malformed", "v86 does not take this state.", { cause });
  }
  machine.show(consoleText);
  await emulator.run();
  return machine;
}

/** Takes a machine of v86 in. */
export function receiveV86(library: V86Library, name: string, output: MachineOutput): ComingMachine {
  let machine: V86Machine | undefined;
  const host = new V86Host({
    version: library.version,
    async create(wanted) {
      const { emulator, shape } = await createEmulatorOf(library, wanted);
      machine = new V86Machine(emulator, shape, name, output);
      return emulator;
    },
    onConsoleText: (text) => machine?.show(text),
  });
  return {
    host,
    present() {
      if (machine === undefined) throw new GuestError("argument", "No machine has been prepared.");
      return machine;
    },
  };
}

class V86Machine implements PresentMachine {
  readonly guest: V86Guest;
  readonly failed: Promise<Error>;
  readonly #emulator: V86Emulator;
  readonly #output: MachineOutput;
  readonly #text = new ConsoleText();
  #line = "";

  constructor(emulator: V86Emulator, shape: V86Shape, name: string, output: MachineOutput) {
    this.#emulator = emulator;
    this.#output = output;
    this.failed = watchEmulator(emulator).failed;
    this.guest = new V86Guest(emulator, { name, shape, consoleText: this.#text });
    emulator.add_listener(outputEvent(CONSOLE), (byte) => {
      this.#text.add(byte);
      output.print(byte);
    });
    emulator.add_listener(outputEvent(COMMANDS), (byte) => this.#takeAnswer(byte));
  }

  instructions(): number {
    return this.#emulator.get_instruction_counter();
  }

  type(port: SerialPort, text: string): void {
    this.#emulator.serial_send_bytes(port, new TextEncoder().encode(text));
  }

  /** Shows what the machine has printed elsewhere. */
  show(text: Uint8Array): void {
    for (const byte of text) this.#text.add(byte);
    this.#output.printPast(text);
  }

  #takeAnswer(byte: number): void {
    if (byte !== 0x0a) {
      if (this.#line.length < MAX_LINE_CHARACTERS) this.#line += String.fromCharCode(byte);
      return;
    }
    this.#output.answer(this.#line);
    this.#line = "";
  }
}
