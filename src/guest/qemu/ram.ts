import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import * as v from "valibot";
import { GuestError } from "../errors.js";
import { readPadded, writeUpTo } from "../file/descriptor.js";
import { placeOf } from "../fuse/mounting.js";
import type { MemoryRegion } from "../guest.js";
import type { QmpClient } from "./qmp.js";

/** One memory backend of a QEMU: a file that QEMU maps shared, and that others can read and write; or one that is served to it. */
export interface RamFile extends MemoryRegion {
  readonly path: string;
}

const MAX_BACKENDS = 256;

const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const backends = v.pipe(
  v.array(
    v.object({ id: v.optional(v.pipe(v.string(), v.maxLength(256))), size: bytes, share: v.optional(v.boolean()) }),
  ),
  v.maxLength(MAX_BACKENDS),
);
const summary = v.object({ "base-memory": bytes, "plugged-memory": v.optional(v.number(), 0) });
const properties = v.array(v.object({ name: v.string(), type: v.string() }));

const ADVICE =
  "Start QEMU with -machine memory-backend=mem0 -object memory-backend-file,id=mem0,size=SIZE,mem-path=FILE,share=on, " +
  "where FILE is a file of this machine's own, best in /dev/shm.";

/**
 * The files that hold all memory of a QEMU's machine, hot-plugged memory included. Where there are `served` ones, by their paths, all of them must be among
 * these; they are mapped privately. Throws `machine-unfit`, and says what is missing, where some of it is not in a shared file.
 */
export async function findRamFiles(qmp: QmpClient, served: readonly string[] = []): Promise<RamFile[]> {
  const found = v.parse(backends, await qmp.execute("query-memdev"));
  const objects = v.parse(properties, await qmp.execute("qom-list", { path: "/objects" }));
  const files: RamFile[] = [];
  for (const { id, size, share } of found) {
    if (id === undefined) throw unfit("One of its memory backends has no id.");
    const path = `/objects/${id}`;
    const type = objects.find(({ name }) => name === id)?.type;
    if (type !== "child<memory-backend-file>") {
      const kind = type?.replace(/^child<|>$/g, "") ?? "of an unknown kind";
      throw unfit(`Its memory backend ${id} is ${kind}, not memory-backend-file.`);
    }
    const property = async (name: string): Promise<unknown> => qmp.execute("qom-get", { path, property: name });
    // It is the same everywhere.
    if (v.parse(v.boolean(), await property("readonly"))) continue;
    const file = v.parse(v.string(), await property("mem-path"));
    if (served.length > 0) {
      files.push({ name: id, byteLength: size, path: checkServed(id, file, share === true, served) });
      continue;
    }
    if (share !== true) throw unfit(`Its memory backend ${id} is not shared: share=on is missing.`);
    files.push({ name: id, byteLength: size, path: file });
  }
  const sizes = v.parse(summary, await qmp.execute("query-memory-size-summary"));
  const needed = sizes["base-memory"] + sizes["plugged-memory"];
  const there = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (there < needed) {
    throw unfit(`Of its ${needed} bytes of memory only ${there} are in shared files.`);
  }
  return files;
}

function checkServed(id: string, file: string, isShared: boolean, served: readonly string[]): string {
  const place = placeOf(file);
  const advice = "Start QEMU anew with the files that are served, and share=off.";
  if (!served.includes(place)) {
    throw new GuestError(
      "machine-unfit",
      `The memory backend ${id} is the file ${place}, which is not served here. ${advice}`,
    );
  }
  if (!isShared) return place;
  throw new GuestError(
    "machine-unfit",
    `The memory backend ${id} has share=on: its file is served, and cannot be written to. ${advice}`,
  );
}

function unfit(what: string): GuestError {
  return new GuestError("machine-unfit", `This QEMU's memory cannot be reached from outside. ${what} ${ADVICE}`);
}

/** A {@link RamFile} that is open here. */
export interface OpenRamFile extends RamFile {
  /** The file descriptor. */
  readonly file: number;
  readonly firstPage: number;
}

/** The open RAM files of one machine, in pages that are numbered through all of them. */
export class Ram {
  readonly pageBytes: number;
  readonly pageCount: number;
  readonly files: readonly OpenRamFile[];
  readonly #isOwner: boolean;
  #isClosed = false;

  private constructor(files: readonly OpenRamFile[], pageBytes: number, pageCount: number, isOwner = true) {
    this.#isOwner = isOwner;
    this.files = files;
    this.pageBytes = pageBytes;
    this.pageCount = pageCount;
  }

  /** Opens the files, which QEMU must have made. Throws `machine-unfit` where one cannot be opened, or is not the one that QEMU means. */
  static open(files: readonly RamFile[], pageBytes: number, mode: "read" | "write"): Ram {
    const open: OpenRamFile[] = [];
    let firstPage = 0;
    try {
      for (const ram of files) {
        open.push({ ...ram, file: openRamFile(ram, mode), firstPage });
        firstPage += Math.ceil(ram.byteLength / pageBytes);
      }
    } catch (error) {
      for (const { file } of open) closeSync(file);
      throw error;
    }
    return new Ram(open, pageBytes, firstPage);
  }

  /** Takes files that are open already; they are closed by whoever opened them. */
  static adopt(files: readonly (RamFile & { readonly file: number })[], pageBytes: number): Ram {
    let firstPage = 0;
    const open = files.map((ram): OpenRamFile => {
      const first = firstPage;
      firstPage += Math.ceil(ram.byteLength / pageBytes);
      return { ...ram, firstPage: first };
    });
    return new Ram(open, pageBytes, firstPage, false);
  }

  /** Whether all of the memory is a hole, as QEMU makes it: zero, and never written to. */
  get isUntouched(): boolean {
    return this.files.every(({ file }) => fstatSync(file).blocks === 0);
  }

  /** Copies whole pages, all of one file, into `into`. */
  readPages(firstPage: number, into: Uint8Array): void {
    const { file, position } = this.locate(firstPage);
    readPadded(file, position, into);
  }

  /** Writes whole pages, all of one file. */
  writePages(firstPage: number, from: Uint8Array): void {
    const { file, position, byteLength } = this.locate(firstPage);
    writeUpTo(file, position, from, byteLength);
  }

  /** Where a page begins, and how many bytes there are from there to the end of its file. */
  locate(page: number): { readonly file: number; readonly position: number; readonly byteLength: number } {
    const ram = this.files.filter(({ firstPage }) => firstPage <= page).at(-1);
    if (ram === undefined || this.#isClosed) throw new GuestError("argument", "The memory of this QEMU is not open.");
    const position = (page - ram.firstPage) * this.pageBytes;
    return { file: ram.file, position, byteLength: ram.byteLength - position };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#isOwner) for (const { file } of this.files) closeSync(file);
  }
}

function openRamFile({ path, name, byteLength }: RamFile, mode: "read" | "write"): number {
  let size: number;
  let file: number;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new GuestError("machine-unfit", `${path}, the memory ${name}, is not a file. ${ADVICE}`);
    size = stat.size;
    file = openSync(path, mode === "read" ? "r" : "r+");
  } catch (cause) {
    if (cause instanceof GuestError) throw cause;
    const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
    const message = `The memory ${name} of this QEMU, the file ${path}, cannot be opened here: ${why}.`;
    throw new GuestError("machine-unfit", message, { cause });
  }
  if (size >= byteLength) return file;
  closeSync(file);
  throw new GuestError("machine-unfit", `${path} is shorter than the memory ${name} of ${byteLength} bytes.`);
}
