import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Guest } from "../guest.js";
import { nextTurn } from "../turn.js";
import { toImageError } from "./image.js";
import { WINDOW_BYTES } from "./source.js";
import { SparseImage } from "./sparse.js";

/**
 * Writes a machine that stands still into a folder, as files that begin with its name: an image of each memory region, the state of CPU and devices, and
 * what the machine is, as JSON. Returns their paths. Throws `image`; nothing that is there is overwritten.
 */
export async function keepMachine(guest: Guest, state: Uint8Array, folder: string): Promise<readonly string[]> {
  const { name, pageBytes, regions } = guest.machine;
  const path = (what: string): string => join(folder, `${name.replaceAll(/[^\p{L}\p{N}._-]/gu, "_")}.${what}`);
  const written: string[] = [];
  const write = async (what: string, bytes: string | Uint8Array): Promise<void> => {
    await writeFile(path(what), bytes, { flag: "wx", mode: 0o600 });
    written.push(path(what));
  };
  try {
    await mkdir(folder, { recursive: true });
    let firstPage = 0;
    for (const region of regions) {
      const what = `${region.name.replaceAll(/[^\p{L}\p{N}_-]/gu, "_")}.ram`;
      await writeRegion(guest, firstPage, region.byteLength, path(what));
      written.push(path(what));
      firstPage += Math.ceil(region.byteLength / pageBytes);
    }
    await write("state", state);
    await write("machine.json", `${JSON.stringify(guest.machine, null, 2)}\n`);
    return written;
  } catch (error) {
    throw toImageError(error, `The machine ${name} cannot be written to ${folder}`);
  }
}

async function writeRegion(guest: Guest, firstPage: number, byteLength: number, path: string): Promise<void> {
  const { pageBytes } = guest.machine;
  const image = new SparseImage(path, byteLength, pageBytes, false);
  try {
    const window = new Uint8Array(WINDOW_BYTES);
    const pageCount = Math.ceil(byteLength / pageBytes);
    for (let page = 0; page < pageCount; page += WINDOW_BYTES / pageBytes) {
      const count = Math.min(WINDOW_BYTES / pageBytes, pageCount - page);
      const pages = window.subarray(0, count * pageBytes);
      guest.readPages(firstPage + page, pages);
      image.writePages(page, pages);
      await nextTurn();
    }
    image.commit();
  } finally {
    image.discard();
  }
}
