import { Random } from "./random.js";

const PAGE_BYTES = 4096;
const RAM_SECTION = 2;
const BITMAP_SECTION = 7;
const Flag = { zero: 0x02, memSize: 0x04, page: 0x08, eos: 0x10, continue: 0x20, xbzrle: 0x40, flush: 0x200 };

/** What a made stream shall have. */
export interface StreamPlan {
  readonly seed: number;
  /** Blocks of RAM and their pages. */
  readonly blocks?: readonly (readonly [name: string, pageCount: number])[];
  readonly rounds?: number;
  readonly pagesPerRound?: number;
  /** No page but those of zeros is like another; the contents are the same, in the same order, in all such streams, whatever places they have. */
  readonly distinct?: boolean;
  readonly xbzrle?: boolean;
  /** The rest of the RAM comes after the device state, which runs at the destination by then. */
  readonly postcopy?: boolean;
  /** Numbers that stand behind each block where QEMU is configured so: its page size, its address. */
  readonly extras?: 0 | 1 | 2;
  /** A further section that comes in parts, between those of the RAM. */
  readonly bitmap?: boolean;
  /** A record that nobody knows, in the middle. */
  readonly unknownRecord?: boolean;
  /** Records without CONTINUE where it would be possible: the share of them. */
  readonly named?: number;
}

/** A stream as QEMU might send it. */
export interface MadeStream {
  readonly bytes: Uint8Array;
  /** Where records and sections end. */
  readonly borders: readonly number[];
  readonly pages: number;
  readonly zeros: number;
}

const BLOCKS = [
  ["pc.ram", 96],
  ["pc.bios", 16],
  ["/rom@etc/acpi/tables", 3],
  ["vga.vram", 1],
] as const;

/** Makes a stream that looks like QEMU's; equal plans make equal streams. */
export function makeStream(plan: StreamPlan): MadeStream {
  return new StreamMaker(plan).make();
}

class StreamMaker {
  readonly #plan: StreamPlan;
  readonly #random: Random;
  readonly #contents = new Random(0);
  readonly #blocks: readonly (readonly [string, number])[];
  readonly #memory: Uint8Array[];
  readonly #parts: Uint8Array[] = [];
  readonly #borders: number[] = [];
  #byteLength = 0;
  #block = -1;
  #pages = 0;
  #zeros = 0;

  constructor(plan: StreamPlan) {
    this.#plan = plan;
    this.#random = new Random(plan.seed);
    this.#blocks = plan.blocks ?? BLOCKS;
    // Many pages are equal.
    const contents = Array.from({ length: 12 }, () => this.#random.memoryLike(PAGE_BYTES));
    this.#memory = this.#blocks.map(([, pageCount]) =>
      Buffer.concat(Array.from({ length: pageCount }, () => contents[this.#random.below(12)] as Uint8Array)),
    );
  }

  make(): MadeStream {
    const { rounds = 3, postcopy = false, bitmap = false, unknownRecord = false } = this.#plan;
    this.#put("QEVM", u32(3));
    this.#put([7], u32(6), "pc-q35", [5, 26], "configuration/capabilities", u32(1), u32(1), [10], "x-ignore-s");
    if (postcopy) {
      this.#command(1, new Uint8Array(0));
      this.#command(2, u32(1));
      this.#command(3, new Uint8Array(16));
    }
    this.#put([1], u32(RAM_SECTION), [3], "ram", u32(0), u32(4));
    this.#table();
    this.#endOfRam();
    if (bitmap) {
      this.#put([1], u32(BITMAP_SECTION), [12], "dirty-bitmap", u32(0), u32(1), this.#random.bytes(50));
      this.#footer(BITMAP_SECTION);
    }
    for (let round = 0; round < rounds; round++) {
      this.#ramPart(round === rounds - 1 && !postcopy ? 3 : 2, unknownRecord && round === 1);
      if (!bitmap) continue;
      this.#put([2], u32(BITMAP_SECTION), this.#random.bytes(this.#random.below(3000)));
      this.#footer(BITMAP_SECTION);
    }
    if (postcopy) this.#switchOver();
    else this.#devices();
    this.#put([0, 6], u32(300), this.#random.memoryLike(300));
    const bytes = new Uint8Array(Buffer.concat(this.#parts));
    return { bytes, borders: this.#borders, pages: this.#pages, zeros: this.#zeros };
  }

  #switchOver(): void {
    this.#command(6, this.#random.bytes(40));
    // In the state stands what looks like a part of the RAM.
    const state = Buffer.concat([
      this.#random.memoryLike(9000),
      Uint8Array.of(0x7e, 0, 0, 0, 9, 2, 0, 0, 0, RAM_SECTION),
    ]);
    this.#put([8], [0, 7, 0, 4], u32(state.length), state);
    for (let part = 0; part < 3; part++) this.#ramPart(part === 2 ? 3 : 2, false);
  }

  #devices(): void {
    for (let device = 0; device < 4; device++) {
      this.#put([4], u32(20 + device), [6], `device`, u32(device), u32(1), this.#random.memoryLike(2000 * device));
      this.#footer(20 + device);
    }
  }

  #table(): void {
    const { extras = 0 } = this.#plan;
    const totalBytes = this.#memory.reduce((sum, { length }) => sum + length, 0);
    const blocks = this.#blocks.flatMap(([name, pageCount], index) => [
      Uint8Array.of(name.length),
      Buffer.from(name),
      u64(pageCount * PAGE_BYTES),
      ...[u64(2 << 20), u64(index * 0x1_0000_0000)].slice(2 - extras),
    ]);
    this.#put(u64(totalBytes + Flag.memSize), ...blocks);
  }

  #ramPart(type: number, hasUnknown: boolean): void {
    const { pagesPerRound = 40, xbzrle = false } = this.#plan;
    this.#put([type], u32(RAM_SECTION));
    this.#block = -1;
    for (let left = pagesPerRound; left > 0; ) {
      const block = this.#random.below(this.#blocks.length);
      const pageCount = (this.#blocks[block] as readonly [string, number])[1];
      const first = this.#random.below(pageCount);
      const run = Math.min(left, 1 + this.#random.below(20), pageCount - first);
      for (let page = first; page < first + run; page++) this.#record(block, page, xbzrle);
      left -= run;
    }
    if (hasUnknown) this.#put(u64(0x123_0000 | 0x400), this.#random.bytes(500));
    this.#endOfRam();
  }

  #record(block: number, page: number, xbzrle: boolean): void {
    const memory = this.#memory[block] as Uint8Array;
    const bytes = memory.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    const kind = this.#random.below(xbzrle ? 8 : 6);
    if (kind === 0) {
      bytes.fill(0);
      this.#zeros += 1;
      this.#header(block, page, Flag.zero, [0]);
    } else if (kind >= 6) {
      const payload = this.#random.memoryLike(this.#random.below(kind === 6 ? 20 : 900));
      this.#header(block, page, Flag.xbzrle, Uint8Array.of(1, payload.length >> 8, payload.length & 255), payload);
    } else {
      if (this.#plan.distinct) bytes.set(this.#contents.memoryLike(PAGE_BYTES));
      else if (kind === 1) bytes.set(this.#random.memoryLike(PAGE_BYTES));
      else if (kind === 2) bytes.set((this.#memory[0] as Uint8Array).subarray(0, PAGE_BYTES));
      else if (kind < 5) this.#random.change(bytes, 3, 30);
      this.#pages += 1;
      this.#header(block, page, Flag.page, bytes.slice());
    }
  }

  #header(block: number, page: number, flag: number, ...body: readonly (Uint8Array | readonly number[])[]): void {
    const isNamed = block !== this.#block || this.#random.below(100) < (this.#plan.named ?? 0) * 100;
    const name = (this.#blocks[block] as readonly [string, number])[0];
    this.#block = block;
    const flags = flag | (isNamed ? 0 : Flag.continue);
    this.#put(u64(page * PAGE_BYTES + flags), ...(isNamed ? [[name.length], Buffer.from(name)] : []), ...body);
  }

  #endOfRam(): void {
    this.#put(u64(Flag.eos));
    this.#footer(RAM_SECTION);
  }

  #footer(section: number): void {
    this.#put([0x7e], u32(section));
  }

  #command(command: number, bytes: Uint8Array): void {
    this.#put([8, 0, command, bytes.length >> 8, bytes.length & 255], bytes);
  }

  #put(...parts: readonly (Uint8Array | readonly number[] | string)[]): void {
    for (const part of parts) {
      const bytes = typeof part === "string" ? Buffer.from(part) : Uint8Array.from(part);
      this.#parts.push(bytes);
      this.#byteLength += bytes.length;
    }
    this.#borders.push(this.#byteLength);
  }
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}
