import { Flag, PAGE_BYTES, type RamBlock, readRamBlocks, readU64 } from "./ram-blocks.js";

/*
 * QEMU's migration stream, as far as it must be known to find the pages in it; all numbers are big-endian. Everything else is passed over.
 *
 *     "QEVM", u32 3       then sections
 *     0x01 START          u32 section, u8 length, name, u32 instance, u32 version, data
 *     0x02 PART, 0x03 END u32 section, data
 *     0x7e footer         u32 section
 *     0x08 COMMAND        u16 command, u16 length, bytes; command 7, PACKAGED: its bytes are u32 length, and so many bytes follow
 *
 * Data of the section "ram": records, each a u64 of offset and flags (the low 12 bits) and what the flag says:
 *
 *     0x02 ZERO           [name] u8 that fills the page
 *     0x04 MEM_SIZE       the blocks, see ram-blocks.ts
 *     0x08 PAGE           [name] 4096 bytes
 *     0x10 EOS            ends the data
 *     0x40 XBZRLE         [name] u8 1, u16 length, a delta
 *     0x200 FLUSH         nothing
 *     0x20 CONTINUE       beside another flag: the page is in the same block as the one before; without it: [name] is u8 length, the block's name
 *
 * The data of other sections does not say where it ends. Behind it the stream is found again where a footer is followed by a part of the RAM.
 */
const MAGIC = Uint8Array.of(0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3);
const Section = { part: 2, end: 3, command: 8, footer: 0x7e } as const;
const PACKAGED = 7;
const XBZRLE_ENCODING = 1;

/** What a START of the RAM has behind the number of its section: name, instance 0, version 4. */
const RAM_START = Buffer.from("\x03ram\0\0\0\0\0\0\0\x04", "latin1");
/** 0x01 and the number. */
const RAM_START_AT = 5;
/** A footer, and 0x02 or 0x03 with the number of the RAM's section. */
const RAM_AGAIN_BYTES = 10;

/** Takes what {@link QemuStreamParser} finds, in order and without gaps: `from` and `to` are offsets in the bytes that it was given. */
export interface QemuStreamSink {
  /** Bytes that are not understood, or need not be. */
  verbatim(from: number, to: number): void;
  /** The RAM's blocks, before the first record. */
  blocks(blocks: readonly RamBlock[]): void;
  /** A page, the last 4096 bytes before `to`; `isNamed`: the record names its block. */
  page(from: number, to: number, block: number, page: number, isNamed: boolean): void;
  /** A page of zeros. */
  zero(from: number, to: number, block: number, page: number, isNamed: boolean): void;
}

/**
 * Finds the pages in QEMU's migration stream. Whatever it is given, every byte goes to the sink once, and it holds no more than the table of
 * RAM blocks: so a stream that it does not understand is carried as it is.
 */
export class QemuStreamParser {
  readonly #sink: QemuStreamSink;
  #state: "magic" | "start" | "between" | "records" | "search" | "opaque" = "magic";
  #ramSection = 0;
  #blocks: readonly RamBlock[] = [];
  /** The block of the last record. */
  #block = -1;
  /** Bytes that are passed over before anything is looked at. */
  #skipBytes = 0;

  constructor(sink: QemuStreamSink) {
    this.#sink = sink;
  }

  /**
   * Reads the first `end` bytes, tells the sink what they are, and returns how far it came: what is left, never more than a record, must stand
   * first in the next call's bytes.
   */
  parse(bytes: Uint8Array, end: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, end);
    for (let at = 0; ; ) {
      const next = at < end ? this.#next(bytes, view, at, end) : at;
      if (next === at) return at;
      at = next;
    }
  }

  #next(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    if (this.#skipBytes > 0) {
      const skipped = Math.min(this.#skipBytes, end - at);
      this.#skipBytes -= skipped;
      return this.#pass(at, at + skipped);
    }
    switch (this.#state) {
      case "magic":
        return this.#magic(bytes, at, end);
      case "start":
        return this.#findStart(bytes, view, at, end);
      case "between":
        return this.#section(view, at, end);
      case "records":
        return this.#record(bytes, view, at, end);
      case "search":
        return this.#findRam(bytes, view, at, end);
      case "opaque":
        return this.#pass(at, end);
    }
  }

  #pass(from: number, to: number): number {
    if (to > from) this.#sink.verbatim(from, to);
    return to;
  }

  /** What comes next is not understood. */
  #lose(at: number, state: "search" | "opaque" = "search"): number {
    this.#state = state;
    return this.#pass(at, at + 1);
  }

  #magic(bytes: Uint8Array, at: number, end: number): number {
    const known = Math.min(MAGIC.length, end - at);
    for (let byte = 0; byte < known; byte++) {
      if (bytes[at + byte] !== MAGIC[byte]) return this.#lose(at, "opaque");
    }
    if (known < MAGIC.length) return at;
    this.#state = "start";
    return this.#pass(at, at + MAGIC.length);
  }

  #findStart(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, end);
    for (let found = text.indexOf(RAM_START, at); found >= 0; found = text.indexOf(RAM_START, found + 1)) {
      const start = found - RAM_START_AT;
      if (start < at || bytes[start] !== 1) continue;
      this.#ramSection = view.getUint32(start + 1);
      this.#state = "records";
      return this.#pass(at, found + RAM_START.length);
    }
    return this.#pass(at, Math.max(at, end - (RAM_START_AT + RAM_START.length - 1)));
  }

  #section(view: DataView, at: number, end: number): number {
    const type = view.getUint8(at);
    if (type === Section.command) return this.#command(view, at, end);
    if (type !== Section.footer && type !== Section.part && type !== Section.end) return this.#lose(at);
    if (at + 5 > end) return at;
    if (type !== Section.footer) {
      if (view.getUint32(at + 1) !== this.#ramSection) return this.#lose(at);
      this.#state = "records";
    }
    return this.#pass(at, at + 5);
  }

  #command(view: DataView, at: number, end: number): number {
    if (at + 5 > end) return at;
    const isPackaged = view.getUint16(at + 1) === PACKAGED;
    const length = view.getUint16(at + 3);
    if (!isPackaged) {
      this.#skipBytes = length;
    } else {
      if (length !== 4) return this.#lose(at);
      if (at + 9 > end) return at;
      this.#skipBytes = 4 + view.getUint32(at + 5);
    }
    return this.#pass(at, at + 5);
  }

  #findRam(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    const text = bytes.subarray(0, end);
    for (let found = text.indexOf(Section.footer, at); found >= 0; found = text.indexOf(Section.footer, found + 1)) {
      if (found + RAM_AGAIN_BYTES > end) return this.#pass(at, found);
      const type = bytes[found + 5];
      if (type !== Section.part && type !== Section.end) continue;
      if (view.getUint32(found + 6) !== this.#ramSection) continue;
      this.#state = "between";
      return this.#pass(at, found + 5);
    }
    return this.#pass(at, end);
  }

  #record(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    if (at + 8 > end) return at;
    const low = view.getUint32(at + 4);
    const flags = low % PAGE_BYTES;
    switch (flags & ~Flag.continue) {
      case Flag.eos:
        this.#state = "between";
        return this.#pass(at, at + 8);
      case Flag.flush:
        return this.#pass(at, at + 8);
      case Flag.memSize:
        return this.#table(bytes, view, at, end);
      case Flag.zero:
      case Flag.page:
      case Flag.xbzrle:
        return this.#pageRecord(bytes, view, at, end, flags);
      default:
        return this.#lose(at);
    }
  }

  #table(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    if (this.#blocks.length > 0) return this.#lose(at);
    const table = readRamBlocks(bytes, at, end, readU64(view, at) - Flag.memSize);
    if (table === "more") return at;
    if (table === undefined) return this.#lose(at);
    this.#blocks = table.blocks;
    this.#pass(at, table.end);
    this.#sink.blocks(table.blocks);
    return table.end;
  }

  #pageRecord(bytes: Uint8Array, view: DataView, at: number, end: number, flags: number): number {
    const isNamed = (flags & Flag.continue) === 0;
    let body = at + 8;
    let block = this.#block;
    if (isNamed) {
      if (body >= end) return at;
      const name = body + 1;
      body = name + view.getUint8(name - 1);
      if (body > end) return at;
      block = this.#blocks.findIndex((known) => isAt(bytes, name, body, known.name));
    }
    const page = view.getUint32(at) * 2 ** 20 + Math.floor(view.getUint32(at + 4) / PAGE_BYTES);
    if (page >= (this.#blocks[block]?.pageCount ?? 0)) return this.#lose(at);
    const isPage = (flags & Flag.page) !== 0;
    const isXbzrle = (flags & Flag.xbzrle) !== 0;
    let to = body + (isPage ? PAGE_BYTES : isXbzrle ? 3 : 1);
    if (to > end) return at;
    if (isXbzrle) {
      if (bytes[body] !== XBZRLE_ENCODING) return this.#lose(at);
      to += view.getUint16(body + 1);
      if (to > end) return at;
    }
    this.#block = block;
    if (isPage) this.#sink.page(at, to, block, page, isNamed);
    else if (!isXbzrle && bytes[body] === 0) this.#sink.zero(at, to, block, page, isNamed);
    else this.#pass(at, to);
    return to;
  }
}

function isAt(bytes: Uint8Array, from: number, to: number, expected: Uint8Array): boolean {
  if (to - from !== expected.length) return false;
  for (let at = 0; at < expected.length; at++) {
    if (bytes[from + at] !== expected[at]) return false;
  }
  return true;
}
