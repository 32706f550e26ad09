import { describe, expect, it } from "vitest";
import { QemuStreamParser, type QemuStreamSink } from "../../src/relay/qemu-stream.js";
import { Random } from "../support/random.js";

const PAGE_BYTES = 4096;

/** What a parser said, as text; it sees to it that every byte comes once. */
class Listener implements QemuStreamSink {
  readonly said: string[] = [];
  #at = 0;

  verbatim(from: number, to: number): void {
    this.#take(from, to);
  }

  blocks(blocks: readonly { readonly name: Uint8Array; readonly pageCount: number }[]): void {
    const texts = blocks.map(({ name, pageCount }) => `${Buffer.from(name)}:${pageCount}`);
    this.said.push(`blocks ${texts.join(" ")}`);
  }

  page(from: number, to: number, block: number, page: number, isNamed: boolean): void {
    this.#take(from, to);
    this.said.push(`page ${block}/${page}${isNamed ? " named" : ""}`);
  }

  zero(from: number, to: number, block: number, page: number, isNamed: boolean): void {
    this.#take(from, to);
    this.said.push(`zero ${block}/${page}${isNamed ? " named" : ""}`);
  }

  #take(from: number, to: number): void {
    expect(from).toBe(this.#at);
    expect(to).toBeGreaterThan(from);
    this.#at = to;
  }
}

function parse(...parts: readonly (string | Uint8Array)[]): {
  readonly said: readonly string[];
  readonly left: number;
} {
  const bytes = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));
  const listener = new Listener();
  const consumed = new QemuStreamParser(listener).parse(bytes, bytes.length);
  return { said: listener.said, left: bytes.length - consumed };
}

function u64(value: number | bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

const MAGIC = "QEVM\0\0\0\x03";
const START = "\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04";
const PART = "\x02\0\0\0\x02";
const FOOTER = "\x7e\0\0\0\x02";
const EOS = u64(0x10);
const page = new Random(1).bytes(PAGE_BYTES);
/** Blocks "a" with four pages and "bb" with one. */
const TABLE = Buffer.concat([
  u64(5 * PAGE_BYTES + 4),
  ...[Buffer.from("\x01a"), u64(4 * PAGE_BYTES), Buffer.from("\x02bb"), u64(PAGE_BYTES)],
]);
const HEAD = [MAGIC, START, TABLE, EOS, FOOTER] as const;
const BLOCKS = "blocks a:4 bb:1";

describe("a parser of QEMU's stream", () => {
  it("finds pages by block and number, and what records have names", () => {
    const { said, left } = parse(
      ...HEAD,
      ...[PART, u64(2 * PAGE_BYTES + 8), "\x01a", page, u64(3 * PAGE_BYTES + 0x28), page, u64(0x2), "\x02bb", "\0"],
      ...[u64(0x22), "\0", u64(0x28), page, EOS, FOOTER],
    );
    expect(said).toEqual([BLOCKS, "page 0/2 named", "page 0/3", "zero 1/0 named", "zero 1/0", "page 1/0"]);
    expect(left).toBe(0);
  });

  it.each<[string, readonly (string | Uint8Array)[]]>([
    ["a page behind its block's end", [u64(4 * PAGE_BYTES + 8), "\x01a", page]],
    ["a page far behind it", [u64(2n ** 64n - 4096n + 8n), "\x01a", page]],
    ["a block that is none", [u64(8), "\x01b", page]],
    ["a block's name that begins like one", [u64(8), "\x01bb", page]],
    ["no block to go on in", [u64(0x28), page]],
    ["two flags at once", [u64(8 + 2), "\x01a", page]],
    ["an unknown flag", [u64(0x100), "\x01a", page]],
    ["a second table", [TABLE]],
    ["an unknown encoding of a delta", [u64(0x40), "\x01a", "\x02\0\x01x"]],
  ])("passes %s over, and goes on with the next part of the RAM", (_, record) => {
    const { said, left } = parse(...HEAD, PART, ...record, EOS, FOOTER, PART, u64(0x8), "\x01a", page, EOS, FOOTER);
    expect(said).toEqual([BLOCKS, "page 0/0 named"]);
    expect(left).toBe(0);
  });

  it("passes over what is known and no page: other bytes that fill one, QEMU's own deltas, flushes", () => {
    const records = [u64(0x2), "\x01a", "\x05", u64(0x60), "\x01\0\x03abc", u64(0x200), u64(0x22 + PAGE_BYTES), "\0"];
    expect(parse(...HEAD, PART, ...records).said).toEqual([BLOCKS, "zero 0/1"]);
  });

  it("passes over commands and what is packed in one, whatever stands in it", () => {
    const packed = Buffer.concat([Buffer.from(FOOTER + PART), u64(0x8), Buffer.from("\x01a"), page]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(packed.length);
    const { said } = parse(
      ...HEAD,
      "\x08\0\x02\0\x04ping",
      "\x08\0\x07\0\x04",
      length,
      packed,
      PART,
      u64(0x2),
      "\x01a\0",
    );
    expect(said).toEqual([BLOCKS, "zero 0/0 named"]);
  });

  it.each<[string, readonly Uint8Array[]]>([
    ["a name without characters", [u64(PAGE_BYTES + 4), Buffer.from("\0"), u64(PAGE_BYTES)]],
    ["more in a block than in all", [u64(PAGE_BYTES + 4), Buffer.from("\x01a"), u64(2 * PAGE_BYTES)]],
    ["more pages than there are numbers", [u64(2n ** 60n + 4n), Buffer.from("\x01a"), u64(2n ** 60n)]],
    ["nothing", [u64(4)]],
    [
      "too many blocks",
      [u64(300 * PAGE_BYTES + 4), ...Array.from({ length: 300 }, () => [Buffer.from("\x01a"), u64(PAGE_BYTES)]).flat()],
    ],
  ])("does not take for a table what names %s", (_, table) => {
    expect(parse(MAGIC, START, ...table, EOS, FOOTER, PART, u64(0x8), "\x01a", page).said).toEqual([]);
  });

  it("knows addresses and page sizes behind the blocks", () => {
    const extras = [u64(2 << 20), u64(0xfeff_e000)];
    const table = Buffer.concat([
      ...[u64(5 * PAGE_BYTES + 4), Buffer.from("\x01a"), u64(4 * PAGE_BYTES), ...extras],
      ...[Buffer.from("\x02bb"), u64(PAGE_BYTES), ...extras],
    ]);
    expect(parse(MAGIC, START, table, EOS, FOOTER).said).toEqual([BLOCKS]);
  });

  it("keeps nothing but the beginning of a record, which must come again", () => {
    const listener = new Listener();
    const parser = new QemuStreamParser(listener);
    const head = Buffer.concat(
      [...HEAD, PART].map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)),
    );
    const record = Buffer.concat([u64(8), Buffer.from("\x01a"), page]);
    expect(parser.parse(Buffer.concat([head, record.subarray(0, -1)]), head.length + record.length - 1)).toBe(
      head.length,
    );
    const again = new Listener();
    Object.assign(listener, { page: again.page.bind(again) });
    expect(parser.parse(record, record.length)).toBe(record.length);
    expect(again.said).toEqual(["page 0/0 named"]);
  });
});
