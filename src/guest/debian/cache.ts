import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** The files of a cache entry by their names. */
export type CacheFiles<Name extends string> = Readonly<Record<Name, Uint8Array>>;

/** Names the files of an entry and their SHA-256, in the form that `sha256sum -c` reads. */
const SUMS_FILE = "SHA256SUMS";

/** Where what was fetched and made for guests of a kind is kept: `$XDG_CACHE_HOME/pageferry/KIND`, or below `~/.cache`. */
export function defaultCacheFolder(kind: "v86" | "qemu"): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "pageferry", kind);
}

/**
 * The files of the entry `name`, made by `build` where the entry is missing or damaged. An entry is a folder that appears in one piece:
 * processes that make the same one at once do not disturb each other.
 */
export async function cached<Name extends string>(
  cacheFolder: string,
  name: string,
  fileNames: readonly Name[],
  build: () => Promise<CacheFiles<Name>>,
): Promise<CacheFiles<Name>> {
  const folder = join(cacheFolder, name);
  const found = await readEntry(folder, fileNames);
  if (found !== undefined) return found;
  const files = await build();
  await mkdir(cacheFolder, { recursive: true });
  const making = await mkdtemp(`${folder}.new-`);
  try {
    for (const file of fileNames) await writeFile(join(making, file), files[file]);
    const sums = fileNames.map((file) => `${sha256(files[file])}  ${file}\n`);
    await writeFile(join(making, SUMS_FILE), sums.join(""));
    await replaceFolder(making, folder);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return files;
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function readEntry<Name extends string>(
  folder: string,
  fileNames: readonly Name[],
): Promise<CacheFiles<Name> | undefined> {
  try {
    const sums = (await readFile(join(folder, SUMS_FILE), "utf8")).split("\n");
    const files: Partial<Record<Name, Uint8Array>> = {};
    for (const file of fileNames) {
      const content = await readFile(join(folder, file));
      if (!sums.includes(`${sha256(content)}  ${file}`)) return undefined;
      files[file] = content;
    }
    return files as CacheFiles<Name>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** What stood there was damaged, or was made meanwhile by another process, whose readers have it in memory. */
async function replaceFolder(from: string, to: string): Promise<void> {
  for (;;) {
    try {
      await rename(from, to);
      return;
    } catch (error) {
      if (!["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
    const aside = await mkdtemp(`${to}.old-`);
    await rename(to, join(aside, "entry")).catch(() => undefined);
    await rm(aside, { recursive: true, force: true });
  }
}
