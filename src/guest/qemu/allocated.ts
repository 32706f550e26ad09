import { closeSync, fstatSync, openSync, readFileSync, readSync, statfsSync } from "node:fs";
import { hasBit, setBit } from "../../kernel/bitmap.js";
import { HOST_PAGE_BYTES, PAGEMAP_ENTRY_BYTES, PAGEMAP_PRESENT, processes, procText } from "../proc.js";
import type { OpenRamFile, Ram } from "./ram.js";

const STAT_BLOCK_BYTES = 512;

/** Of statfs(2). */
const TMPFS_MAGIC = 0x0102_1994;

/** Where a process has a RAM file in its address space. */
interface Mapping {
  /** The file's place among the RAM's. */
  readonly file: number;
  readonly pid: number;
  readonly address: number;
}

/**
 * Tells which pages of a QEMU's RAM files can hold anything but zeros, from outside: Linux shows in /proc/PID/pagemap which pages QEMU has
 * mapped. That is believed only where it explains all the room that a file takes up: by itself, or together with pages that are known to have held
 * something (a migration that brought the machine here wrote them), if nothing can make pages unmapped, or write them from elsewhere. Otherwise
 * every page counts.
 */
export class AllocatedPages {
  readonly #ram: Ram;
  readonly #mappings: readonly (Mapping | undefined)[];
  readonly #isKnown: boolean;
  readonly #staysMapped: boolean;

  constructor(ram: Ram) {
    const mappings = findMappings(ram);
    this.#ram = ram;
    this.#mappings = ram.files.map((_, index) => mappings.find(({ file }) => file === index));
    this.#isKnown = ram.pageBytes === HOST_PAGE_BYTES && this.#mappings.every((mapping) => mapping !== undefined);
    this.#staysMapped = mappings.length === ram.files.length && ram.files.every(isInMemory) && !hasSwap();
  }

  /** Sets the bits of all pages that are allocated, beside those that are set already: pages that held something. All bits where that cannot be told. */
  mark(bitmap: Uint8Array): void {
    if (this.#isKnown && this.#ram.files.every((file, index) => this.#look(file, index, bitmap))) return;
    bitmap.fill(0xff);
  }

  /** Marks what one file has now; whether that is all of it. */
  #look({ file, byteLength, firstPage }: OpenRamFile, index: number, bitmap: Uint8Array): boolean {
    const { pid, address } = this.#mappings[index] as Mapping;
    // Before the map: what is allocated in between does no harm.
    const allocated = (fstatSync(file).blocks * STAT_BLOCK_BYTES) / HOST_PAGE_BYTES;
    const entries = readEntries(pid, address, byteLength / HOST_PAGE_BYTES);
    if (entries === undefined) return false;
    let present = 0;
    let marked = 0;
    for (let at = PAGEMAP_ENTRY_BYTES - 1, page = firstPage; at < entries.length; at += PAGEMAP_ENTRY_BYTES, page++) {
      if (((entries[at] as number) & PAGEMAP_PRESENT) !== 0) {
        present += 1;
        marked += 1;
        setBit(bitmap, page);
      } else if (hasBit(bitmap, page)) {
        marked += 1;
      }
    }
    return present >= allocated || (this.#staysMapped && marked >= allocated);
  }
}

/** Whether the file lies in memory and nowhere else. */
function isInMemory({ path }: OpenRamFile): boolean {
  try {
    return statfsSync(path).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
}

function hasSwap(): boolean {
  try {
    return !/^SwapTotal:\s+0 kB$/m.test(readFileSync("/proc/meminfo", "utf8"));
  } catch {
    return true;
  }
}

/** Layout: `Documentation/admin-guide/mm/pagemap.rst` of Linux. Undefined where it may not be read, or the process is gone. */
function readEntries(pid: number, address: number, pages: number): Uint8Array | undefined {
  const entries = new Uint8Array(pages * PAGEMAP_ENTRY_BYTES);
  let file: number | undefined;
  try {
    file = openSync(`/proc/${pid}/pagemap`, "r");
    for (let done = 0; done < entries.length; ) {
      const position = (address / HOST_PAGE_BYTES) * PAGEMAP_ENTRY_BYTES + done;
      const count = readSync(file, entries, done, entries.length - done, position);
      if (count === 0) return undefined;
      done += count;
    }
    return entries;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Where processes map the files whole, found by the files' inodes. */
function findMappings(ram: Ram): Mapping[] {
  const wanted = ram.files.map(({ file, byteLength }) => {
    const { dev, ino } = fstatSync(file, { bigint: true });
    return { inode: `${deviceOf(dev)} ${ino}`, byteLength };
  });
  const found: Mapping[] = [];
  for (const pid of processes()) {
    for (const line of procText(`/proc/${pid}/maps`).split("\n")) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ 0+ ([0-9a-f]+:[0-9a-f]+) (\d+)/.exec(line);
      if (match === null) continue;
      const [, start, end, device, inode] = match as unknown as [string, string, string, string, string];
      const file = wanted.findIndex((candidate) => candidate.inode === `${device} ${inode}`);
      const address = Number.parseInt(start, 16);
      if (file < 0 || Number.parseInt(end, 16) - address < (wanted[file]?.byteLength ?? 0)) continue;
      found.push({ file, pid, address });
    }
  }
  return found;
}

/** As /proc/PID/maps writes it: major and minor number, in hex. (Encoding: `gnu_dev_major` of glibc.) */
function deviceOf(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  const hex = (number: bigint): string => number.toString(16).padStart(2, "0");
  return `${hex(major)}:${hex(minor)}`;
}
