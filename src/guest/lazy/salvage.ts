import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toImageError } from "../file/image.js";
import { WINDOW_BYTES } from "../file/source.js";
import { SparseImage } from "../file/sparse.js";
import { nextTurn } from "../turn.js";
import type { MachineProcess } from "./machine-process.js";
import type { PageRange } from "./pages.js";

/** One region of a machine whose memory will not be whole any more. */
export interface LostRegion {
  /** Of the files: names a region of a machine that came from elsewhere. */
  readonly name: string;
  readonly byteLength: number;
  readonly pageBytes: number;
  /** Reads whole pages of what has arrived, from byte `position` on. */
  readonly read: (position: number, into: Uint8Array) => void;
  /** Who has written to it since. */
  readonly process: MachineProcess;
  /** Of a page of the region: whether it never came. */
  readonly isMissing: (page: number) => boolean;
}

/**
 * Writes what there is of a region into a folder: NAME.ram, the pages that arrived and over them those that the machine wrote, and NAME.missing.json, which says
 * of which pages there is neither. Such a page holds zeros, or what the source had there at an earlier time. Returns the paths. Throws `image`; nothing that is
 * there is overwritten.
 */
export async function salvageRegion(region: LostRegion, folder: string): Promise<readonly string[]> {
  const { name, byteLength, pageBytes, isMissing } = region;
  const safeName = name.replaceAll(/[^\p{L}\p{N}_-]/gu, "_");
  const [ramPath, missingPath] = [`${safeName}.ram`, `${safeName}.missing.json`].map((file) => join(folder, file)) as [
    string,
    string,
  ];
  try {
    await mkdir(folder, { recursive: true });
    const missing: PageRange[] = [];
    const image = new SparseImage(ramPath, byteLength, pageBytes, false);
    try {
      for (let position = 0; position < byteLength; position += WINDOW_BYTES) {
        for (const page of salvageWindow(region, position, image)) if (isMissing(page)) add(missing, page);
        await nextTurn();
      }
      image.commit();
    } finally {
      image.discard();
    }
    const list = { region: name, pageBytes, missing };
    await writeFile(missingPath, `${JSON.stringify(list, null, 2)}\n`, { flag: "wx", mode: 0o600 });
    return [ramPath, missingPath];
  } catch (error) {
    throw toImageError(error, `What there is of the memory ${name} cannot be written to ${folder}`);
  }
}

/** Returns the pages of the window that the machine has not written to. */
function salvageWindow(region: LostRegion, position: number, image: SparseImage): number[] {
  const { byteLength, pageBytes, read, process } = region;
  const pages = new Uint8Array(Math.min(WINDOW_BYTES, Math.ceil((byteLength - position) / pageBytes) * pageBytes));
  read(position, pages);
  const own = new Set(process.overlay(position, pages));
  const firstPage = position / pageBytes;
  image.writePages(firstPage, pages);
  return Array.from({ length: pages.length / pageBytes }, (_, page) => page)
    .filter((page) => !own.has(page))
    .map((page) => firstPage + page);
}

function add(runs: PageRange[], page: number): void {
  const last = runs.at(-1);
  if (last === undefined || last.firstPage + last.pageCount !== page) runs.push({ firstPage: page, pageCount: 1 });
  else runs[runs.length - 1] = { firstPage: last.firstPage, pageCount: last.pageCount + 1 };
}
