import { GuestError } from "../errors.js";

/** The pages of the emulated processor. */
export const PAGE_BYTES = 4096;
/** v86 rounds its memory up to such pieces. */
export const MEMORY_STEP_BYTES: number = 128 * 1024;

/** What both ends of a migration must have alike. */
export interface V86Shape {
  /** The version of the package v86, which decides what a saved state looks like. */
  readonly version: string;
  /** RAM, a multiple of {@link MEMORY_STEP_BYTES}. */
  readonly memoryBytes: number;
  readonly vgaMemoryBytes: number;
}

/** The inside of an emulator, which v86 does not promise: what uses it tests that it is there and has another way. */
export interface V86Processor {
  readonly wasm_memory?: WebAssembly.Memory;
  pack_memory?: () => { bitmap: { get_buffer(): ArrayBuffer }; packed_memory: Uint8Array };
  unpack_memory?: (bitmap: unknown, packedMemory: Uint8Array) => void;
  main_loop?: () => number;
  /** Reads the clock that the processor counts its time by. */
  readonly store_current_tsc?: () => void;
}

/** Which of the machine's two serial ports. */
export type SerialPort = 0 | 1;

/** What is used of the class `V86` of the package v86. */
export interface V86Emulator {
  run(): Promise<void>;
  stop(): Promise<void>;
  destroy(): Promise<void>;
  is_running(): boolean;
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
  /** A live view; it is detached when the emulator's WebAssembly memory grows, so it is to be taken anew each turn. */
  read_memory(offset: number, length: number): Uint8Array;
  /** Also drops the code that was compiled from what stood there. */
  write_memory(bytes: Uint8Array, offset: number): void;
  add_listener(event: string, listener: (value: number) => void): void;
  remove_listener(event: string, listener: (value: number) => void): void;
  serial_send_bytes(port: SerialPort, bytes: Uint8Array): void;
  /** Counts round 2^32. */
  get_instruction_counter(): number;
  readonly v86?: { readonly cpu: V86Processor };
}

/** Tells whether an emulator's machine has come to grief. */
export interface EmulatorWatch {
  readonly failure: GuestError | undefined;
  /** Resolves with a `guest-failed` error when the machine fails; never, where it does not. */
  readonly failed: Promise<GuestError>;
}

const watches = new WeakMap<V86Emulator, EmulatorWatch>();

/**
 * Catches what the emulator throws while it runs the machine: the machine then stops for good, and the watch says so. Without it such an error
 * ends the process, as does what v86 throws outside its main loop (in a promise of its compiler, say): who runs a machine that may fail gives
 * it a process or worker of its own and listens for that one's `error` or `exit`.
 */
export function watchEmulator(emulator: V86Emulator): EmulatorWatch {
  const known = watches.get(emulator);
  if (known !== undefined) return known;
  let fail: (failure: GuestError) => void = () => undefined;
  const failed = new Promise<GuestError>((resolve) => {
    fail = resolve;
  });
  const watch: { failure: GuestError | undefined; failed: Promise<GuestError> } = { failure: undefined, failed };
  watches.set(emulator, watch);
  const processor = emulator.v86?.cpu;
  const mainLoop = processor?.main_loop;
  if (processor !== undefined && mainLoop !== undefined) {
    processor.main_loop = () => {
      try {
        return mainLoop.call(processor);
      } catch (cause) {
        watch.failure ??= new GuestError("guest-failed", "The emulated machine failed and was stopped.", { cause });
        fail(watch.failure);
        void emulator.stop();
        return 0;
      }
    };
  }
  return watch;
}

/** Throws unless the emulator has just the memory that the shape says. */
export function checkMemoryBytes(emulator: V86Emulator, memoryBytes: number): void {
  const isSame =
    emulator.read_memory(0, memoryBytes).length === memoryBytes && emulator.read_memory(memoryBytes, 1).length === 0;
  if (!isSame) throw new GuestError("argument", `The emulator does not have a memory of ${memoryBytes} bytes.`);
}

/** Throws unless `byteLength` is that of whole pages, which lie within the memory from `firstPage` on. */
export function checkPages(memoryBytes: number, firstPage: number, byteLength: number): void {
  const pageCount = memoryBytes / PAGE_BYTES;
  const isInside = Number.isInteger(firstPage) && firstPage >= 0 && firstPage * PAGE_BYTES + byteLength <= memoryBytes;
  if (!isInside || byteLength < 0 || byteLength % PAGE_BYTES !== 0) {
    throw new GuestError(
      "argument",
      `${byteLength} bytes from page ${firstPage} on are not whole pages of a memory of ${pageCount} pages.`,
    );
  }
}
