import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cached, defaultCacheFolder, sha256 } from "../../src/guest/debian/cache.js";
import { type InitramfsEntry, packInitramfs } from "../../src/guest/debian/initramfs.js";
import { withDebianPackages } from "../../src/guest/debian/packages.js";
import { redisArchive } from "./redis.js";

/** What the lab's guest is started from, as paths of files in the cache. */
export interface LabImages {
  readonly kernel: string;
  readonly initrd: string;
  /** Changes with every byte of the two. */
  readonly key: string;
}

/** To be raised when what the cache holds changes its meaning. */
const CACHE_FORMAT = 1;
const PROGRAMS = ["counter", "writer", "redis-load"] as const;
const FOLDER = 0o040755;
const PROGRAM = 0o100755;
const execute = promisify(execFile);

/** Where everything is kept that takes time to make. */
export const labFolder: string = defaultCacheFolder("qemu");

/**
 * Debian's kernel and an initramfs of busybox, the programs in `guest/` and, where `withRedis`, redis. All is made at the first call, which
 * takes a minute, and kept. Throws GuestErrors `missing-program` and `image` where apt cannot provide them.
 */
export async function labImages(withRedis: boolean): Promise<LabImages> {
  const { vmlinuz, busybox } = await kernelAndBusybox();
  const programs = await guestPrograms();
  const init = await readFile(join(guestFolder(), "init.sh"));
  const program = (path: string, content: Uint8Array): InitramfsEntry => ({ path, mode: PROGRAM, content });
  const parts = [
    packInitramfs([
      ...["bin", "dev", "proc", "run", "data"].map((path) => ({ path, mode: FOLDER })),
      program("init", init),
      program("bin/busybox", busybox),
      ...PROGRAMS.map((name) => program(`bin/${name}`, programs[name])),
    ]),
  ];
  // Linux takes several archives one after the other.
  if (withRedis) parts.push(await redisArchive(labFolder, log));
  const initrd = Buffer.concat(parts);
  const key = sha256(Buffer.from(sha256(vmlinuz) + sha256(initrd))).slice(0, 16);
  await cached(labFolder, `boot-${key}`, ["vmlinuz", "initrd"], async () => ({ vmlinuz, initrd }));
  const folder = join(labFolder, `boot-${key}`);
  return { kernel: join(folder, "vmlinuz"), initrd: join(folder, "initrd"), key };
}

function kernelAndBusybox(): Promise<Readonly<Record<"vmlinuz" | "busybox", Uint8Array>>> {
  return cached(labFolder, `images-${CACHE_FORMAT}`, ["vmlinuz", "busybox"], () =>
    withDebianPackages("amd64", join(labFolder, "packages"), log, async (debian) => {
      const kernel = await debian.dependency("linux-image-cloud-amd64", /^linux-image-\d/);
      return {
        vmlinuz: await debian.readFileOf(kernel, `boot/${kernel.replace("linux-image", "vmlinuz")}`),
        busybox: await debian.readFileOf("busybox-static", "bin/busybox"),
      };
    }),
  );
}

/** The guest's own programs, compiled anew when their sources change. */
async function guestPrograms(): Promise<Readonly<Record<(typeof PROGRAMS)[number], Uint8Array>>> {
  const sources = (await readdir(guestFolder())).filter((name) => /\.[ch]$/.test(name)).sort();
  const sums = await Promise.all(sources.map(async (name) => sha256(await readFile(join(guestFolder(), name)))));
  const key = sha256(Buffer.from(JSON.stringify([sources, sums]))).slice(0, 16);
  return cached(labFolder, `programs-${key}`, PROGRAMS, async () => {
    const folder = await mkdtemp(join(tmpdir(), "pageferry-"));
    try {
      const compile = async (name: (typeof PROGRAMS)[number]): Promise<Uint8Array> => {
        const binary = join(folder, name);
        const source = join(guestFolder(), `${name}.c`);
        await execute("gcc", ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", binary, source]);
        return readFile(binary);
      };
      const [counter, writer, load] = await Promise.all([compile("counter"), compile("writer"), compile("redis-load")]);
      return { counter, writer, "redis-load": load };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

/** The folder `guest` in the sources; the benchmark runs compiled, from elsewhere in the project. */
function guestFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (folder !== dirname(folder) && !existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return join(folder, "test", "lab", "guest");
}

/** Steps that take their time are told, so that nobody thinks that a first run hangs. */
export function log(line: string): void {
  console.error(`lab: ${line}`);
}
