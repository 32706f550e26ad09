import { GuestError } from "../errors.js";
import type { Host, Machine } from "../guest.js";
import { splitConsole } from "./console-state.js";
import {
  checkMemoryBytes,
  checkPages,
  MEMORY_STEP_BYTES,
  PAGE_BYTES,
  type V86Emulator,
  type V86Shape,
  watchEmulator,
} from "./emulator.js";
import { loadState } from "./state.js";

const DEFAULT_MAX_MEMORY_BYTES: number = 1 << 30;
const DEFAULT_MAX_VGA_MEMORY_BYTES: number = 64 << 20;
/** The first megabyte holds the BIOS. */
const MIN_MEMORY_BYTES: number = 1 << 20;

export interface V86HostOptions {
  /** The version of v86 here; machines of another are refused. */
  readonly version: string;
  /** Makes an emulator of this shape, with the devices of the source's, that does not run. It needs neither kernel nor disk image. */
  create(shape: V86Shape): Promise<V86Emulator>;
  /** Is given what the machine has printed on its first serial port, where that comes with it: at most 64 KiB, a view. */
  onConsoleText?(text: Uint8Array): void;
  /** Default: 1 GiB. */
  readonly maxMemoryBytes?: number;
  /** Default: 64 MiB. */
  readonly maxVgaMemoryBytes?: number;
}

/** What the host has; each step asks for the right one. After a failure there is only {@link V86Host.discard}. */
type Stage = "empty" | "busy" | "prepared" | "loaded" | "started" | "discarded";

/** Takes in one machine of the emulator v86, in this thread. */
export class V86Host implements Host {
  readonly #options: V86HostOptions;
  #stage: Stage = "empty";
  #emulator: V86Emulator | undefined;
  #memoryBytes = 0;
  #hasConsole = false;

  constructor(options: V86HostOptions) {
    this.#options = options;
  }

  /** Throws `machine-unfit` where the machine is of another kind or version or too large, and what the factory throws. */
  async prepare(machine: Machine): Promise<void> {
    const shape = this.#shapeOf(machine);
    this.#leave("empty");
    const emulator = await this.#options.create(shape);
    if (this.#stage === "busy") this.#emulator = emulator;
    else await emulator.destroy();
    this.#checkBusy();
    this.#memoryBytes = shape.memoryBytes;
    this.#hasConsole = machine.configuration["hasConsole"] === true;
    checkMemoryBytes(emulator, shape.memoryBytes);
    if (emulator.is_running()) throw new GuestError("argument", "The emulator for an arriving machine already runs.");
    // The BIOS stands there. Writing it all also makes the operating system provide the memory now, and not during the switch-over.
    const zeros = new Uint8Array(MEMORY_STEP_BYTES);
    for (let at = 0; at < shape.memoryBytes; at += zeros.length) emulator.write_memory(zeros, at);
    this.#enter("prepared");
  }

  readPages(firstPage: number, into: Uint8Array): void {
    const emulator = this.#at("prepared", "loaded");
    checkPages(this.#memoryBytes, firstPage, into.length);
    into.set(emulator.read_memory(firstPage * PAGE_BYTES, into.length));
  }

  writePages(firstPage: number, from: Uint8Array): void {
    const emulator = this.#at("prepared", "loaded");
    checkPages(this.#memoryBytes, firstPage, from.length);
    emulator.write_memory(from, firstPage * PAGE_BYTES);
  }

  /** Throws `state-malformed`; the host can then only be discarded. */
  async loadState(state: Uint8Array): Promise<void> {
    const emulator = this.#at("prepared");
    this.#leave("prepared");
    const parts = this.#hasConsole ? splitConsole(state) : { text: undefined, state };
    await loadState(emulator, parts.state, this.#memoryBytes);
    if (parts.text !== undefined) this.#options.onConsoleText?.(parts.text);
    this.#enter("loaded");
  }

  /** The machine runs from here on; {@link watchEmulator} tells whether it fails. */
  async start(): Promise<void> {
    const emulator = this.#at("loaded");
    this.#leave("loaded");
    watchEmulator(emulator);
    await emulator.run();
    this.#enter("started");
  }

  async discard(): Promise<void> {
    this.#stage = "discarded";
    const emulator = this.#emulator;
    this.#emulator = undefined;
    await emulator?.destroy();
  }

  #shapeOf(machine: Machine): V86Shape {
    const { version, maxMemoryBytes, maxVgaMemoryBytes } = this.#options;
    const { kind, pageBytes, regions, configuration } = machine;
    if (kind !== "v86") throw unfit(`it is a machine of the kind ${JSON.stringify(kind)}`);
    if (configuration["version"] !== version) {
      throw unfit(`it runs in version ${JSON.stringify(configuration["version"])} of v86, and here is ${version}`);
    }
    const [region] = regions;
    if (regions.length !== 1 || region === undefined || pageBytes !== PAGE_BYTES) {
      throw unfit("it does not have one memory of 4 KiB pages");
    }
    const memoryBytes = checkSize(
      "memory",
      region.byteLength,
      MIN_MEMORY_BYTES,
      maxMemoryBytes ?? DEFAULT_MAX_MEMORY_BYTES,
    );
    const vgaMemoryBytes = checkSize(
      "VGA memory",
      configuration["vgaMemoryBytes"],
      MEMORY_STEP_BYTES,
      maxVgaMemoryBytes ?? DEFAULT_MAX_VGA_MEMORY_BYTES,
    );
    return { version, memoryBytes, vgaMemoryBytes };
  }

  #at(...stages: readonly Stage[]): V86Emulator {
    if (this.#emulator === undefined || !stages.includes(this.#stage)) {
      throw new GuestError("argument", `The host is ${this.#stage} and not ${stages.join(" or ")}.`);
    }
    return this.#emulator;
  }

  #leave(stage: Stage): void {
    if (this.#stage !== stage) throw new GuestError("argument", `The host is ${this.#stage} and not ${stage}.`);
    this.#stage = "busy";
  }

  #enter(stage: Stage): void {
    this.#checkBusy();
    this.#stage = stage;
  }

  #checkBusy(): void {
    if (this.#stage !== "busy") throw new GuestError("argument", "The host was discarded meanwhile.");
  }
}

/** Whole steps, which is what v86 itself rounds to. */
function checkSize(name: string, bytes: unknown, minimum: number, maximum: number): number {
  const isSize = typeof bytes === "number" && Number.isInteger(bytes) && bytes % MEMORY_STEP_BYTES === 0;
  if (!isSize || bytes < minimum || bytes > maximum) {
    throw unfit(
      `its ${name} has ${JSON.stringify(bytes)} bytes; ${minimum} to ${maximum} are taken, in steps of 128 KiB`,
    );
  }
  return bytes;
}

function unfit(reason: string): GuestError {
  return new GuestError("machine-unfit", `The machine cannot be taken: ${reason}.`);
}
