import { join } from "node:path";
import { type CacheFiles, cached, defaultCacheFolder, sha256 } from "../debian/cache.js";
import { withDebianPackages } from "../debian/packages.js";
import { outputEvent, SerialConsole } from "./console.js";
import type { EmulatorOptions } from "./create.js";
import { COMMAND_PORT, CONSOLE_PORT, demoInitramfs, PROMPT, READY_LINE } from "./demo-userland.js";
import type { V86Emulator, V86Shape } from "./emulator.js";
import { createEmulator } from "./node.js";

/** `init_on_free`: free memory is zero, as hardened systems have it, and need not travel. */
const COMMAND_LINE = "console=ttyS0 tsc=reliable mitigations=off random.trust_cpu=on init_on_free=1 quiet loglevel=1";
/** Booting takes 10 to 40 s. */
const BOOT_TIMEOUT_MS = 300_000;
/** To be raised when what the cache holds changes its meaning. */
const CACHE_FORMAT = 2;

export interface DemoOptions {
  /** Default: 72 MiB. */
  readonly memoryBytes?: number;
  /** Default: {@link defaultCacheFolder}("v86"). */
  readonly cacheFolder?: string;
  /** Gets a line for every step that takes its time. */
  readonly onProgress?: (line: string) => void;
}

/** What the demo guest is made of, all from Debian. */
export interface DemoImages {
  readonly bios: Uint8Array;
  readonly vgaBios: Uint8Array;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
}

/** The demo guest as it stood when it had booted. */
export interface BootedGuest {
  readonly shape: V86Shape;
  /** As v86 saves it, with all memory in it. */
  readonly state: Uint8Array;
  /** What it had printed on its first serial port. */
  readonly consoleText: Uint8Array;
}

/** A Linux that runs. Its first serial port has a shell for a person. */
export interface DemoGuest {
  readonly emulator: V86Emulator;
  readonly shape: V86Shape;
  /** The command line on its second serial port. */
  readonly commands: SerialConsole;
}

/** Debian's kernel, BIOS and busybox from the cache, or else by apt. Throws `missing-program` without apt, `image` where it fails. */
export async function demoImages(options: DemoOptions = {}): Promise<DemoImages> {
  const { cacheFolder = defaultCacheFolder("v86"), onProgress = () => undefined } = options;
  const names = ["vmlinuz", "busybox", "bios.bin", "vgabios.bin"] as const;
  const files = await cached(cacheFolder, `images-${CACHE_FORMAT}`, names, () =>
    withDebianPackages("i386", join(cacheFolder, "packages"), onProgress, async (debian) => {
      const kernel = await debian.dependency("linux-image-686", /^linux-image-\d/);
      return {
        vmlinuz: await debian.readFileOf(kernel, `boot/${kernel.replace("linux-image", "vmlinuz")}`),
        busybox: await debian.readFileOf("busybox-static", "bin/busybox"),
        "bios.bin": await debian.readFileOf("seabios", "usr/share/seabios/bios.bin"),
        "vgabios.bin": await debian.readFileOf("seabios", "usr/share/seabios/vgabios-stdvga.bin"),
      };
    }),
  );
  return {
    bios: files["bios.bin"],
    vgaBios: files["vgabios.bin"],
    kernel: files.vmlinuz,
    initrd: demoInitramfs(files.busybox),
  };
}

/**
 * Starts the demo guest: a Linux whose second serial port takes commands (`pf-counter`, `pf-rewrite`, …; see `demo-userland.ts`). The first start
 * boots it; later ones take less than a second. Throws what {@link demoImages} and {@link createEmulator} throw.
 */
export async function startDemoGuest(options: DemoOptions = {}): Promise<DemoGuest> {
  const { state, shape } = await bootedGuest(options);
  const { emulator } = await createEmulator(shape);
  await emulator.restore_state(state.slice().buffer as ArrayBuffer);
  const commands = new SerialConsole(emulator, COMMAND_PORT);
  await emulator.run();
  return { emulator, shape, commands };
}

/** The demo guest when it has booted, from the cache, or else it is booted and kept there. Throws as {@link startDemoGuest} does. */
export async function bootedGuest(options: DemoOptions = {}): Promise<BootedGuest> {
  const { memoryBytes, cacheFolder = defaultCacheFolder("v86"), onProgress = () => undefined } = options;
  const images = await demoImages(options);
  const hardware: EmulatorOptions = {
    bios: images.bios,
    vgaBios: images.vgaBios,
    ...(memoryBytes !== undefined && { memoryBytes }),
  };
  const { emulator, shape } = await createEmulator(hardware);
  await emulator.destroy();
  const sums = Object.values(images).map(sha256);
  const key = sha256(new TextEncoder().encode(JSON.stringify([CACHE_FORMAT, shape, COMMAND_LINE, sums]))).slice(0, 16);
  const { state, console } = await cached(cacheFolder, `state-${key}`, ["state", "console"], () => {
    onProgress("Booting Linux; this takes up to a minute and is kept for later starts");
    return boot({ ...hardware, ...images, commandLine: COMMAND_LINE });
  });
  return { shape, state, consoleText: console };
}

async function boot(options: EmulatorOptions): Promise<CacheFiles<"state" | "console">> {
  const { emulator } = await createEmulator(options);
  try {
    const console = new SerialConsole(emulator, CONSOLE_PORT);
    const printed: number[] = [];
    emulator.add_listener(outputEvent(CONSOLE_PORT), (byte) => printed.push(byte));
    const commands = new SerialConsole(emulator, COMMAND_PORT);
    await emulator.run();
    await Promise.all([
      commands.waitFor(new RegExp(READY_LINE), BOOT_TIMEOUT_MS),
      console.waitFor(PROMPT, BOOT_TIMEOUT_MS),
    ]);
    await emulator.stop();
    return { state: new Uint8Array(await emulator.save_state()), console: Uint8Array.from(printed) };
  } finally {
    await emulator.destroy();
  }
}
