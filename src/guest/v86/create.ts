import { GuestError } from "../errors.js";
import { MEMORY_STEP_BYTES, type V86Emulator, type V86Shape } from "./emulator.js";

/** The kernel and its initramfs, which v86 puts at 64 MiB, and room behind that. */
export const DEFAULT_MEMORY_BYTES: number = 72 << 20;
export const DEFAULT_VGA_MEMORY_BYTES: number = 2 << 20;
const MAX_MEMORY_BYTES: number = 2 ** 31;
/** Where v86 puts the initramfs. */
const INITRD_START: number = 64 << 20;

/** Browsers' clocks have steps of at most so much. */
const CLOCK_STEP_MS = 1;

/** Everything is optional: a host for arriving machines needs no kernel. */
export interface EmulatorOptions {
  /** Default: 72 MiB, in steps of 128 KiB. */
  readonly memoryBytes?: number;
  /** Default: 2 MiB. */
  readonly vgaMemoryBytes?: number;
  readonly bios?: Uint8Array;
  readonly vgaBios?: Uint8Array;
  /** A Linux kernel (bzImage). */
  readonly kernel?: Uint8Array;
  /** v86 puts it at 64 MiB: the memory must be larger than that by its size. */
  readonly initrd?: Uint8Array;
  readonly commandLine?: string;
}

/** What the package v86 consists of. */
export interface V86Library {
  readonly version: string;
  readonly V86: new (options: Record<string, unknown>) => V86Emulator;
  readonly module: WebAssembly.Module;
}

/**
 * Makes an emulator in this thread, which does not run yet: `run` starts it, `restore_state` first gives it a state. It has two serial ports. Throws
 * `argument` where the memory is of no possible size or too small for the initramfs, and `guest-failed`.
 */
export async function createEmulatorOf(
  { V86, module, version }: V86Library,
  options: EmulatorOptions = {},
): Promise<{ readonly emulator: V86Emulator; readonly shape: V86Shape }> {
  const { memoryBytes = DEFAULT_MEMORY_BYTES, vgaMemoryBytes = DEFAULT_VGA_MEMORY_BYTES } = options;
  checkSizes(memoryBytes, vgaMemoryBytes, options.initrd);
  const emulator = await new Promise<V86Emulator>((resolve, reject) => {
    const made = new V86({
      wasm_fn: async (imports: WebAssembly.Imports) => {
        try {
          return (await WebAssembly.instantiate(module, imports)).exports;
        } catch (cause) {
          reject(new GuestError("guest-failed", "The emulator cannot be started.", { cause }));
          // v86 does not handle a rejection, which would end the process.
          return new Promise<never>(() => undefined);
        }
      },
      memory_size: memoryBytes,
      vga_memory_size: vgaMemoryBytes,
      bios: image(options.bios),
      vga_bios: image(options.vgaBios),
      bzimage: image(options.kernel),
      initrd: image(options.initrd),
      cmdline: options.commandLine,
      // A machine that arrives keeps its network address.
      preserve_mac_from_state_image: true,
      uart1: true,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
    });
    made.add_listener("emulator-loaded", () => resolve(made));
  });
  settleClock(emulator);
  return { emulator, shape: { version, memoryBytes, vgaMemoryBytes } };
}

/**
 * Browsers round their clocks, and v86 finds out how far by reading one twice in a row. Where its first two readings fall behind the loading of a
 * state, it takes the time between the two machines' starts for that step, and the guest's clock jumps by it and stands still. So it reads before.
 */
function settleClock(emulator: V86Emulator): void {
  const processor = emulator.v86?.cpu;
  const untilMs = performance.now() + CLOCK_STEP_MS;
  while (performance.now() < untilMs) processor?.store_current_tsc?.();
}

function checkSizes(memoryBytes: number, vgaMemoryBytes: number, initrd: Uint8Array | undefined): void {
  for (const bytes of [memoryBytes, vgaMemoryBytes]) {
    if (!(bytes > 0 && bytes <= MAX_MEMORY_BYTES && bytes % MEMORY_STEP_BYTES === 0)) {
      throw new GuestError("argument", `A memory of v86 has whole steps of 128 KiB up to 2 GiB, not ${bytes} bytes.`);
    }
  }
  if (initrd !== undefined && INITRD_START + initrd.length > memoryBytes) {
    throw new GuestError("argument", `A memory of ${memoryBytes} bytes has no room for an initramfs behind 64 MiB.`);
  }
}

/** v86 takes whole buffers. */
function image(bytes: Uint8Array | undefined): { buffer: ArrayBufferLike } | undefined {
  return bytes && { buffer: bytes.slice().buffer };
}
