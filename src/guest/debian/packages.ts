import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { GuestError } from "../errors.js";
import { sha256 } from "./cache.js";

const execute = promisify(execFile);
const MAX_OUTPUT_BYTES: number = 64 << 20;

/** Debian's names of the architectures that guests are made for. */
export type DebianArchitecture = "i386" | "amd64";

/** Takes files out of Debian packages for one architecture. */
export interface DebianSource {
  /** The package that `name` depends on and whose name matches. Throws `image`. */
  dependency(name: string, pattern: RegExp): Promise<string>;
  /** The names of all packages that `name` cannot do without, itself among them. Throws `image`. */
  closure(name: string): Promise<readonly string[]>;
  /** Fetches a package and unpacks it. Gives the folder, which is gone when the work is done. Throws `image`. */
  unpack(packageName: string): Promise<string>;
  /** Fetches a package and reads one of its files. Throws `image`. */
  readFileOf(packageName: string, path: string): Promise<Uint8Array>;
}

/**
 * Lets `work` take files out of Debian packages. Runs apt with lists and caches of its own in a temporary folder: neither root nor a change to
 * the system is needed. Packages that were fetched stay in `packageFolder`, so that an attempt after a failure goes on where the last one
 * stopped; several processes may work there at once. Throws `missing-program` without apt and dpkg, `image` where apt cannot provide a package.
 */
export async function withDebianPackages<Result>(
  architecture: DebianArchitecture,
  packageFolder: string,
  onProgress: (line: string) => void,
  work: (source: DebianSource) => Promise<Result>,
): Promise<Result> {
  await mkdir(packageFolder, { recursive: true });
  const folder = await mkdtemp(join(packageFolder, "apt-"));
  try {
    return await work(await openSource(architecture, folder, packageFolder, onProgress));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function openSource(
  architecture: DebianArchitecture,
  folder: string,
  packageFolder: string,
  onProgress: (line: string) => void,
): Promise<DebianSource> {
  const settings = {
    "APT::Architecture": architecture,
    "APT::Architectures": architecture,
    "Dir::State::Lists": join(folder, "lists"),
    "Dir::Cache": join(folder, "cache"),
    "Dir::State::status": "/dev/null",
    "Debug::NoLocking": "1",
    "Acquire::Retries": "2",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  await mkdir(join(folder, "lists", "partial"), { recursive: true });
  await mkdir(join(folder, "cache", "archives", "partial"), { recursive: true });
  onProgress("Reading Debian's package lists");
  // Fails as soon as one of the system's sources does, which need not be one that is needed here.
  const update = await run("apt-get", [...options, "update"], folder).catch((error: unknown) => {
    if (error instanceof GuestError && error.code === "missing-program") throw error;
    return error;
  });
  const ask = async (program: string, args: readonly string[], packageName: string): Promise<string> => {
    try {
      return await run(program, [...options, ...args, packageName], folder);
    } catch (error) {
      if (error instanceof GuestError && error.code === "missing-program") throw error;
      const message = `apt cannot provide Debian's package ${packageName} for ${architecture}. Is this machine offline, or are its sources not Debian's?`;
      throw new GuestError("image", message, { cause: update instanceof Error ? update : error });
    }
  };

  const unpack = async (packageName: string): Promise<string> => {
    const [, file, sum] =
      /^'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})$/m.exec(
        await ask("apt-get", ["--print-uris", "download"], packageName),
      ) ?? [];
    if (file === undefined || sum === undefined || file.includes("/")) {
      throw new GuestError("image", `apt gives no SHA-256 for Debian's package ${packageName}.`);
    }
    const archive = join(packageFolder, file);
    if (!(await hasSum(archive, sum))) {
      onProgress(`Fetching ${file}`);
      await ask("apt-get", ["download"], packageName);
      if (!(await hasSum(join(folder, file), sum))) {
        throw new GuestError("image", `${file} is not what Debian's package list says: its SHA-256 differs.`);
      }
      await rename(join(folder, file), archive);
    }
    const content = join(folder, packageName);
    try {
      await run("dpkg-deb", ["-x", archive, content], folder);
      return content;
    } catch (cause) {
      if (cause instanceof GuestError) throw cause;
      throw new GuestError("image", `Debian's package ${packageName} cannot be unpacked.`, { cause });
    }
  };

  return {
    async dependency(name, pattern) {
      const description = await ask("apt-cache", ["--no-all-versions", "show"], name);
      const depends = /^Depends: (.*)$/m.exec(description)?.[1] ?? "";
      const dependency = depends.split(/[,|]\s*/).map((term) => term.trim().split(" ")[0] as string);
      const found = dependency.find((term) => pattern.test(term));
      if (found === undefined)
        throw new GuestError("image", `Debian's package ${name} depends on nothing like ${pattern}.`);
      return found;
    },
    async closure(name) {
      const needed = ["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-enhances"];
      const others = ["--no-conflicts", "--no-breaks", "--no-replaces"];
      // Names stand at the beginning of a line; what depends on what, and virtual packages, do not.
      return (await ask("apt-cache", [...needed, ...others], name))
        .split("\n")
        .filter((line) => /^[a-z0-9]/.test(line));
    },
    unpack,
    async readFileOf(packageName, path) {
      const content = await unpack(packageName);
      try {
        return await readFile(join(content, path));
      } catch (cause) {
        throw new GuestError("image", `${path} is not in Debian's package ${packageName}.`, { cause });
      }
    },
  };
}

async function hasSum(path: string, sum: string): Promise<boolean> {
  try {
    return sha256(await readFile(path)) === sum;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

async function run(program: string, args: readonly string[], folder: string): Promise<string> {
  const env = { ...process.env, LC_ALL: "C" };
  try {
    return (await execute(program, args, { cwd: folder, env, maxBuffer: MAX_OUTPUT_BYTES })).stdout;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    const message = `The program ${program} is missing: guests are made from Debian's packages.`;
    throw new GuestError("missing-program", message, { cause });
  }
}
