import { execFile } from "node:child_process";
import { readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { cached } from "../../src/guest/debian/cache.js";
import { type InitramfsEntry, packInitramfs } from "../../src/guest/debian/initramfs.js";
import { type DebianSource, withDebianPackages } from "../../src/guest/debian/packages.js";
import { GuestError } from "../../src/guest/errors.js";

/** To be raised when what the cache holds changes its meaning. */
const CACHE_FORMAT = 1;
const FOLDER = 0o040755;
const PROGRAM = 0o100755;
const LIBRARY_FOLDER = "lib/x86_64-linux-gnu";
const LOADER = "ld-linux-x86-64.so.2";
const execute = promisify(execFile);

/** redis-server, redis-cli and the libraries that they need, from Debian, as an archive to put behind an initramfs. */
export async function redisArchive(cacheFolder: string, onProgress: (line: string) => void): Promise<Uint8Array> {
  const { archive } = await cached(cacheFolder, `redis-${CACHE_FORMAT}`, ["archive"], () =>
    withDebianPackages("amd64", join(cacheFolder, "packages"), onProgress, async (debian) => ({
      archive: await collect(debian),
    })),
  );
  return archive;
}

async function collect(debian: DebianSource): Promise<Uint8Array> {
  const tools = await debian.unpack("redis-tools");
  const programs = {
    // One binary, which looks at the name by which it is called.
    "redis-server": await readFile(join(tools, "usr/bin/redis-check-rdb")),
    "redis-cli": await readFile(join(tools, "usr/bin/redis-cli")),
  };
  const libraries = await librariesOf(
    debian,
    ["redis-check-rdb", "redis-cli"].map((name) => join(tools, "usr/bin", name)),
  );
  const entries: InitramfsEntry[] = ["lib", "lib64", LIBRARY_FOLDER].map((path) => ({ path, mode: FOLDER }));
  for (const [name, content] of Object.entries(programs)) entries.push({ path: `bin/${name}`, mode: PROGRAM, content });
  for (const [name, content] of libraries) {
    entries.push({ path: join(name === LOADER ? "lib64" : LIBRARY_FOLDER, name), mode: PROGRAM, content });
  }
  return packInitramfs(entries);
}

/** What these binaries need, and what that needs, out of the packages on which redis-tools depends; fetches only as many as it takes. */
async function librariesOf(debian: DebianSource, binaries: string[]): Promise<ReadonlyMap<string, Uint8Array>> {
  const packages = (await debian.closure("redis-tools")).filter((name) => name.startsWith("lib"));
  const places = new Map<string, string>();
  const found = new Map<string, Uint8Array>();
  for (let binary = binaries.pop(); binary !== undefined; binary = binaries.pop()) {
    for (const name of await neededBy(binary)) {
      if (found.has(name)) continue;
      while (!places.has(name)) {
        const next = packages.shift();
        if (next === undefined) throw new GuestError("image", `No package on which redis-tools depends has ${name}.`);
        await addLibraries(places, await debian.unpack(next));
      }
      const path = places.get(name) as string;
      found.set(name, await readFile(path));
      binaries.push(path);
    }
  }
  return found;
}

async function neededBy(binary: string): Promise<string[]> {
  const { stdout } = await execute("readelf", ["-d", binary], { env: { ...process.env, LC_ALL: "C" } });
  return Array.from(stdout.matchAll(/\(NEEDED\).*\[(.+)\]/g), ([, name]) => name as string);
}

async function addLibraries(places: Map<string, string>, folder: string): Promise<void> {
  for (const part of ["lib64", LIBRARY_FOLDER, "usr/lib64", join("usr", LIBRARY_FOLDER)]) {
    const names = await readdir(join(folder, part)).catch(() => []);
    for (const name of names) {
      if (name.includes(".so"))
        places.set(name, await realpath(join(folder, part, name)).catch(() => join(folder, part, name)));
    }
  }
}
