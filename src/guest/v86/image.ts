import { join } from "node:path";
import { cached, defaultCacheFolder, sha256 } from "../debian/cache.js";
import { withDebianPackages } from "../debian/packages.js";
import { SerialConsole } from "./console.js";
import { demoInitramfs, READY_LINE } from "./demo-userland.js";
import type { V86Emulator, V86Shape } from "./emulator.js";
import { createEmulator, type EmulatorOptions } from "./node.js";

/** `init_on_free`: free memory is zero, as hardened systems have it, and need not travel. */
const COMMAND_LINE = "console=ttyS0 tsc=reliable mitigations=off random.trust_cpu=on init_on_free=1 quiet loglevel=1";
/** Booting takes 10 to 40 s. */
const BOOT_TIMEOUT_MS = 300_000;
/** To be raised when what the cache holds changes its meaning. */
const CACHE_FORMAT = 1;

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

/** A Linux that runs, and its console. */
export interface DemoGuest {
  readonly emulator: V86Emulator;
  readonly shape: V86Shape;
  readonly console: SerialConsole;
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
 * Starts the demo guest: a Linux whose console takes commands (`pf-counter`, `pf-rewrite`, …; see `demo-userland.ts`). The first start boots
 * it and keeps a saved state in the cache; later ones take less than a second. Throws what {@link demoImages} and {@link createEmulator} throw.
 */
export async function startDemoGuest(options: DemoOptions = {}): Promise<DemoGuest> {
  const { memoryBytes, cacheFolder = defaultCacheFolder("v86"), onProgress = () => undefined } = options;
  const images = await demoImages(options);
  const hardware: EmulatorOptions = {
    bios: images.bios,
    vgaBios: images.vgaBios,
    ...(memoryBytes !== undefined && { memoryBytes }),
  };
  const { emulator, shape } = await createEmulator(hardware);
  const sums = Object.values(images).map(sha256);
  const key = sha256(new TextEncoder().encode(JSON.stringify([CACHE_FORMAT, shape, COMMAND_LINE, sums]))).slice(0, 16);
  const { state } = await cached(cacheFolder, `state-${key}`, ["state"], async () => {
    onProgress("Booting Linux; this takes up to a minute and is kept for later starts");
    return { state: await boot({ ...hardware, ...images, commandLine: COMMAND_LINE }) };
  });
  await emulator.restore_state(state.slice().buffer as ArrayBuffer);
  const console = new SerialConsole(emulator);
  await emulator.run();
  return { emulator, shape, console };
}

async function boot(options: EmulatorOptions): Promise<Uint8Array> {
  const { emulator } = await createEmulator(options);
  try {
    const console = new SerialConsole(emulator);
    await emulator.run();
    await console.waitFor(new RegExp(READY_LINE), BOOT_TIMEOUT_MS);
    await emulator.stop();
    return new Uint8Array(await emulator.save_state());
  } finally {
    await emulator.destroy();
  }
}
