import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import type { LabImages } from "./images.js";
import { LabPaths } from "./paths.js";
import { machineFolder } from "./strays.js";

export const QEMU = "qemu-system-x86_64";
const RAM_BACKED = "/dev/shm";

/** What the guest does, besides counting. */
export type LabWorkload =
  | { readonly kind: "idle" }
  /** Writes `bytes` bytes (a divisor of 4096 and a multiple of 8) at `rate` random pages a second out of `pages`. */
  | { readonly kind: "writer"; readonly pages: number; readonly rate: number; readonly bytes: number }
  /** `keys` values of 500 to 700 bytes in a redis, and `rate` commands a second. */
  | { readonly kind: "redis"; readonly keys: number; readonly rate: number }
  /** tar, gzip and sha256sum, as fast as it goes. */
  | { readonly kind: "mix" };

/** Everything but the workload and the memory may be left out. */
export interface LabMachineOptions {
  readonly workload: LabWorkload;
  /** Whole MiB, at least 128; with redis 256 for a few keys. */
  readonly memoryBytes: number;
  /** Where the machine's folder is made. Default: /dev/shm where there is one. */
  readonly folder?: string;
  /** Waits for a machine to come instead of starting one: "defer", or the URI to listen at. */
  readonly incoming?: string;
  /** Whether the RAM is a file that others can read and write. Default: true. */
  readonly ramFile?: boolean;
  /** More for QEMU. */
  readonly extraArguments?: readonly string[];
}

/** How RAM is held: in a file that others see, in memory that begins as a file's content, or in memory. */
export type LabRam = "shared-file" | "private-file" | "memory";

/** A machine that need not run yet. */
export interface LabPlan {
  readonly paths: LabPaths;
  /** The program and its arguments. */
  readonly commandLine: readonly string[];
}

/** Makes a folder for a machine, and the command line that starts it. */
export async function planMachine(images: LabImages, options: LabMachineOptions, ram: LabRam): Promise<LabPlan> {
  const { folder = existsSync(RAM_BACKED) ? RAM_BACKED : tmpdir(), memoryBytes } = options;
  if (!(memoryBytes > 0 && memoryBytes % (1 << 20) === 0)) {
    throw new RangeError(`A machine's memory has whole MiB, not ${memoryBytes} bytes.`);
  }
  const paths = new LabPaths(await machineFolder(folder));
  return { paths, commandLine: [QEMU, ...machineArguments(images, options), ...ownArguments(paths, memoryBytes, ram)] };
}

/** What two machines must have alike to move from one to the other: QEMU's arguments but for the RAM and the paths. */
export function machineArguments(images: LabImages, { workload, extraArguments = [] }: LabMachineOptions): string[] {
  const { kind, ...settings } = workload;
  const words = [
    "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off tsc=reliable random.trust_cpu=on",
    `pf.workload=${kind}`,
    ...Object.entries(settings).map(([name, value]) => `pf.${name}=${value}`),
  ];
  return [
    ...["-name", "pageferry-lab", "-accel", "tcg,thread=single", "-cpu", "max"],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none"],
    ...["-kernel", images.kernel, "-initrd", images.initrd, "-append", words.join(" ")],
    ...extraArguments,
  ];
}

function ownArguments(paths: LabPaths, memoryBytes: number, ram: LabRam): string[] {
  const size = `${memoryBytes / 2 ** 20}M`;
  const file = `memory-backend-file,id=mem0,size=${size},mem-path=${paths.ram}`;
  const backend = {
    "shared-file": `${file},share=on`,
    "private-file": `${file},share=off`,
    memory: `memory-backend-ram,id=mem0,size=${size}`,
  }[ram];
  const ports = (["console", "commands"] as const).flatMap((name) => {
    const port = `socket,id=${name},path=${paths[name]},server=on,wait=off`;
    return ["-chardev", port, "-serial", `chardev:${name}`];
  });
  return [
    ...["-machine", "q35,memory-backend=mem0", "-m", size, "-object", backend, ...ports],
    ...[paths.qmp, paths.monitor].flatMap((path) => ["-qmp", `unix:${path},server=on,wait=off`]),
    ...["-pidfile", paths.pid],
  ];
}
