import type { SerialPort, V86Emulator, V86Processor } from "../../../src/guest/v86/emulator.js";

export const FAKE_MEMORY_BYTES: number = 1 << 20;
/** Where the RAM stands in the emulator's memory. */
const BASE = 3 * 65536 + 64;

/** A state in v86's format, made from its parts. `slots` may name buffers by `{ __state_type__, buffer_id }`. */
export function packState(
  slots: readonly unknown[],
  buffers: readonly Uint8Array[],
  changes: StateChanges = {},
): Uint8Array {
  let offset = 0;
  const infos = buffers.map(({ length }) => {
    const info = { offset, length };
    offset += Math.ceil(length / 4) * 4;
    return info;
  });
  const text = changes.json ?? JSON.stringify({ buffer_infos: changes.infos ?? infos, state: slots });
  const json = new TextEncoder().encode(text);
  const start = Math.ceil((16 + json.length) / 4) * 4;
  const state = new Uint8Array(start + offset);
  new Uint32Array(state.buffer, 0, 4).set(changes.header ?? [0x86768676, 6, state.length, json.length]);
  state.set(json, 16);
  for (const [index, buffer] of buffers.entries()) state.set(buffer, start + (infos[index]?.offset ?? 0));
  return state;
}

export interface StateChanges {
  readonly json?: string;
  readonly infos?: unknown;
  readonly header?: readonly number[];
}

export const buffer = (id: number, type = "Uint8Array"): unknown => ({ __state_type__: type, buffer_id: id });

/** The slots of a state whose pages are buffer `pages` and whose bitmap is buffer `bitmap`; the registers are buffer 0. */
export function slotsOf(memoryBytes: number, pages: number, bitmap: number): unknown[] {
  const slots: unknown[] = new Array(92).fill(null);
  slots[0] = memoryBytes;
  slots[1] = buffer(0);
  slots[77] = buffer(pages);
  slots[78] = buffer(bitmap);
  return slots;
}

/** As much of v86 as the adapters use: memory that grows, ticks on the event loop, and states in its format; as trusting as v86 is. */
export class FakeEmulator implements V86Emulator {
  readonly memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: 64 });
  readonly registers: Uint8Array = new Uint8Array(10);
  /** Called at every tick. */
  program: () => void = () => undefined;
  compiledCodeDrops = 0;
  destroyed = false;
  readonly v86: { readonly cpu: V86Processor };
  readonly #listeners = new Map<string, Set<(value: number) => void>>();
  readonly #memoryBytes: number;
  #running = false;
  #stopping: (() => void)[] | undefined;

  constructor(memoryBytes = FAKE_MEMORY_BYTES) {
    this.#memoryBytes = memoryBytes;
    this.v86 = {
      cpu: {
        wasm_memory: this.memory,
        main_loop: () => {
          this.program();
          return 0;
        },
        pack_memory: () => this.#pack(),
        unpack_memory: (bitmap, pages) => this.#unpack(bitmap as Uint8Array, pages),
      },
    };
  }

  get ram(): Uint8Array {
    return new Uint8Array(this.memory.buffer, BASE, this.#memoryBytes);
  }

  /** Like v86's, it does not tell a stop that a later run has overtaken. */
  async run(): Promise<void> {
    this.#stopping = undefined;
    if (this.#running) return;
    this.#running = true;
    setImmediate(this.#tick);
  }

  stop(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stopping = [...(this.#stopping ?? []), resolve];
    });
  }

  async destroy(): Promise<void> {
    await this.stop();
    this.destroyed = true;
  }

  is_running(): boolean {
    return this.#running;
  }

  async save_state(): Promise<ArrayBuffer> {
    const { bitmap, packed_memory } = this.v86.cpu.pack_memory?.() ?? this.#pack();
    const buffers = [this.registers, packed_memory, new Uint8Array(bitmap.get_buffer())];
    return packState(slotsOf(this.#memoryBytes, 1, 2), buffers).slice().buffer;
  }

  async restore_state(state: ArrayBuffer): Promise<void> {
    const jsonBytes = new Uint32Array(state, 0, 4)[3] as number;
    const { buffer_infos, state: slots } = JSON.parse(new TextDecoder().decode(new Uint8Array(state, 16, jsonBytes)));
    const start = Math.ceil((16 + jsonBytes) / 4) * 4;
    const at = (slot: number): Uint8Array => {
      const { offset, length } = buffer_infos[slots[slot].buffer_id];
      return new Uint8Array(state, start + offset, length);
    };
    this.registers.set(at(1));
    this.v86.cpu.unpack_memory?.(at(78), at(77));
  }

  read_memory(offset: number, length: number): Uint8Array {
    return this.ram.subarray(offset, offset + length);
  }

  write_memory(bytes: Uint8Array, offset: number): void {
    this.compiledCodeDrops++;
    this.ram.set(bytes, offset);
  }

  add_listener(event: string, listener: (value: number) => void): void {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(listener));
  }

  remove_listener(event: string, listener: (value: number) => void): void {
    this.#listeners.get(event)?.delete(listener);
  }

  serial_send_bytes(port: SerialPort, bytes: Uint8Array): void {
    this.print(String.fromCharCode(...bytes), port);
  }

  get_instruction_counter(): number {
    return 0;
  }

  print(text: string, port: SerialPort = 0): void {
    for (const listener of this.#listeners.get(`serial${port}-output-byte`) ?? []) {
      for (const character of text) listener(character.charCodeAt(0));
    }
  }

  readonly #tick = (): void => {
    if (this.#stopping !== undefined) {
      this.#running = false;
      for (const resolve of this.#stopping) resolve();
      this.#stopping = undefined;
    } else {
      this.v86.cpu.main_loop?.();
      setImmediate(this.#tick);
    }
  };

  #pack(): { bitmap: { get_buffer(): ArrayBuffer }; packed_memory: Uint8Array } {
    const pages = Array.from({ length: this.#memoryBytes / 4096 }, (_, page) =>
      this.ram.subarray(page * 4096, (page + 1) * 4096),
    );
    const bitmap = new Uint8Array(pages.length / 8);
    const used = pages.filter((page, index) => {
      const isUsed = page.some((byte) => byte !== 0);
      if (isUsed) bitmap[index >> 3] = (bitmap[index >> 3] as number) | (1 << (index & 7));
      return isUsed;
    });
    return { bitmap: { get_buffer: () => bitmap.buffer }, packed_memory: new Uint8Array(Buffer.concat(used)) };
  }

  #unpack(bitmap: Uint8Array, pages: Uint8Array): void {
    this.ram.fill(0);
    let packed = 0;
    for (let page = 0; page < this.#memoryBytes / 4096; page++) {
      if ((((bitmap[page >> 3] as number) >> (page & 7)) & 1) === 0) continue;
      this.ram.set(pages.subarray(packed, packed + 4096), page * 4096);
      packed += 4096;
    }
  }
}

/** The emulator without its inside: only what v86 documents. */
export function publicOnly(emulator: V86Emulator): V86Emulator {
  return {
    run: () => emulator.run(),
    stop: () => emulator.stop(),
    destroy: () => emulator.destroy(),
    is_running: () => emulator.is_running(),
    save_state: () => emulator.save_state(),
    restore_state: (state) => emulator.restore_state(state),
    read_memory: (offset, length) => emulator.read_memory(offset, length),
    write_memory: (bytes, offset) => emulator.write_memory(bytes, offset),
    add_listener: (event, listener) => emulator.add_listener(event, listener),
    remove_listener: (event, listener) => emulator.remove_listener(event, listener),
    get_instruction_counter: () => emulator.get_instruction_counter(),
    serial_send_bytes: (port, bytes) => emulator.serial_send_bytes(port, bytes),
  };
}

/** Both ways to save and load: over v86's inside, and over what it documents. */
export const WAYS: readonly { readonly name: string; readonly way: (emulator: V86Emulator) => V86Emulator }[] = [
  { name: "over v86's inside", way: (emulator) => emulator },
  { name: "over v86's documented interface", way: publicOnly },
];
