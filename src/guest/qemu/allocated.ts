import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import type { OpenRamFile, Ram } from "./ram.js";

const HOST_PAGE_BYTES = 4096;
const STAT_BLOCK_BYTES = 512;
const ENTRY_BYTES = 8;
/** Of the entry's last byte: the page is in memory, and mapped by the process. */
const PRESENT = 0x80;

/** Where a process has a RAM file in its address space. */
interface Mapping {
  readonly pid: number;
  readonly address: number;
}

/**
 * Tells which pages of a QEMU's RAM files can hold anything but zeros, from outside: Linux shows in /proc/PID/pagemap which pages QEMU has
 * mapped. That is believed only where the files take up no more room than those pages do; otherwise (pages were swapped out, or written by
 * somebody else, such as a migration that brought the machine here) every page counts.
 */
export class AllocatedPages {
  readonly #ram: Ram;
  readonly #mappings: readonly (Mapping | undefined)[];
  readonly #isKnown: boolean;

  constructor(ram: Ram) {
    this.#ram = ram;
    this.#mappings = findMappings(ram);
    this.#isKnown = ram.pageBytes === HOST_PAGE_BYTES && this.#mappings.every((mapping) => mapping !== undefined);
  }

  /** Sets the bits of all pages that are allocated; all bits where that cannot be told. */
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
    for (let at = ENTRY_BYTES - 1, page = firstPage; at < entries.length; at += ENTRY_BYTES, page++) {
      if (((entries[at] as number) & PRESENT) === 0) continue;
      present += 1;
      bitmap[page >> 3] = (bitmap[page >> 3] as number) | (1 << (page & 7));
    }
    return present >= allocated;
  }
}

/** Layout: `Documentation/admin-guide/mm/pagemap.rst` of Linux. Undefined where it may not be read, or the process is gone. */
function readEntries(pid: number, address: number, pages: number): Uint8Array | undefined {
  const entries = new Uint8Array(pages * ENTRY_BYTES);
  let file: number | undefined;
  try {
    file = openSync(`/proc/${pid}/pagemap`, "r");
    for (let done = 0; done < entries.length; ) {
      const position = (address / HOST_PAGE_BYTES) * ENTRY_BYTES + done;
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

/** The process that maps each of the files whole, found by the files' inodes. */
function findMappings(ram: Ram): (Mapping | undefined)[] {
  const wanted = ram.files.map(({ file, byteLength }) => {
    const { dev, ino } = fstatSync(file, { bigint: true });
    return { inode: `${deviceOf(dev)} ${ino}`, byteLength };
  });
  const found: (Mapping | undefined)[] = wanted.map(() => undefined);
  for (const pid of processes()) {
    for (const line of mapsOf(pid)) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ 0+ ([0-9a-f]+:[0-9a-f]+) (\d+)/.exec(line);
      if (match === null) continue;
      const [, start, end, device, inode] = match as unknown as [string, string, string, string, string];
      const index = wanted.findIndex((file) => file.inode === `${device} ${inode}`);
      const address = Number.parseInt(start, 16);
      if (index < 0 || Number.parseInt(end, 16) - address < (wanted[index]?.byteLength ?? 0)) continue;
      found[index] ??= { pid, address };
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

function processes(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

function mapsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/maps`, "utf8").split("\n");
  } catch {
    return [];
  }
}
