import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LeafDigests } from "./leaf-digests.js";
import { leafFolder } from "./leaf-folder.js";

/** The most lists that are kept; the one that was not used the longest goes first. */
const MAX_ENTRIES = 64;

/**
 * Keeps the digests of images' leaves in `$XDG_CACHE_HOME/pageferry/leaves`, or below `~/.cache`, in files that are called as the image's digest is. Nothing of it
 * is trusted: a list is good where it makes the digest that it is called by. Where it cannot be read or written everything goes on without it.
 */
export class LeafCache {
  readonly #folder: string;

  constructor(folder: string = leafFolder()) {
    this.#folder = folder;
  }

  /** The list of an image, or undefined where it is not there. */
  async find(digest: string, byteLength: number): Promise<LeafDigests | undefined> {
    const path = join(this.#folder, digest);
    const bytes = await readExactly(path, LeafDigests.bytesFor(byteLength)).catch(() => undefined);
    if (bytes === undefined) return undefined;
    const leaves = new LeafDigests(byteLength, bytes);
    if ((await leaves.root()) !== digest) {
      await rm(path, { force: true }).catch(() => {});
      return undefined;
    }
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
    return leaves;
  }

  /** Keeps a list, whole or not at all. */
  async keep(leaves: LeafDigests): Promise<void> {
    try {
      const path = join(this.#folder, await leaves.root());
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const temporary = `${path}.new-${randomBytes(6).toString("hex")}`;
      try {
        await writeFile(temporary, leaves.bytes, { flag: "wx", mode: 0o600 });
        await rename(temporary, path);
      } finally {
        await rm(temporary, { force: true });
      }
      await this.#removeOldest();
    } catch {
      // It is only slower without.
    }
  }

  async #removeOldest(): Promise<void> {
    const names = await readdir(this.#folder);
    if (names.length <= MAX_ENTRIES) return;
    const entries = await Promise.all(
      names.map(async (name) => ({ name, usedMs: (await stat(join(this.#folder, name))).mtimeMs })),
    );
    entries.sort((left, right) => left.usedMs - right.usedMs);
    for (const { name } of entries.slice(0, -MAX_ENTRIES)) await rm(join(this.#folder, name), { force: true });
  }
}

/** A file's bytes; undefined where it has another length. */
async function readExactly(path: string, byteLength: number): Promise<Uint8Array | undefined> {
  const file = await open(path, "r");
  try {
    return (await file.stat()).size === byteLength ? new Uint8Array(await readFile(file)) : undefined;
  } finally {
    await file.close();
  }
}
