import { type Arena, bitmapBytes } from "./arena.js";
import { checkWhole } from "./check.js";
import type { PageList } from "./delta.js";
import { KernelError } from "./errors.js";
import type { KernelExports } from "./exports.js";
import { FINGERPRINT_BYTES } from "./fingerprint.js";
import { pageCountOf } from "./scan.js";
import type { Span } from "./span.js";

/** What {@link DedupTable.find} gives where no page has the content. */
export const DEDUP_NONE = 0xffff_ffff;

const HEADER_BYTES = 64;
const SLOT_BYTES = 20;
const MIN_SLOTS = 4;
const MAX_SLOTS = 2 ** 27;
/** Three of four slots are used at most. */
const SLOTS_PER_ENTRY = 4 / 3;

/** A bounded table from fingerprint to the number of the first page that brought this content. An all-zero fingerprint is never held. */
export class DedupTable {
  /** The most fingerprints that the table holds. */
  readonly capacity: number;
  readonly #exports: KernelExports;
  readonly #arena: Arena;
  readonly #table: Span;
  readonly #slots: number;

  /** Allocates a table with room for at least `capacity` fingerprints: 27 to 54 bytes for each. */
  constructor(exports: KernelExports, arena: Arena, capacity: number) {
    checkWhole("capacity", capacity, 1, MAX_SLOTS / SLOTS_PER_ENTRY);
    this.#exports = exports;
    this.#arena = arena;
    this.#slots = Math.max(MIN_SLOTS, 2 ** Math.ceil(Math.log2(capacity * SLOTS_PER_ENTRY)));
    this.capacity = this.#slots - this.#slots / 4;
    this.#table = arena.allocate(HEADER_BYTES + this.#slots * SLOT_BYTES);
    this.clear();
  }

  /** Empties the table. */
  clear(): void {
    this.#exports.dedupClear(this.#pointer(), this.#slots);
  }

  /** How many fingerprints the table holds. */
  get size(): number {
    return this.#exports.dedupEntries(this.#pointer());
  }

  /**
   * Enters `count` fingerprints (16 bytes each) for page numbers (u32 each). A fingerprint that is there keeps its page; one that finds the
   * table full is left out. Returns how many of them the table holds now.
   */
  insert(fingerprints: Span, numbers: Span, count: number): number {
    return this.#exports.dedupInsert(this.#pointer(), ...this.#lists(fingerprints, numbers, count), count);
  }

  /** Writes to `numbers` the page under each of `count` fingerprints, or {@link DEDUP_NONE}; returns how many were found. */
  find(fingerprints: Span, numbers: Span, count: number): number {
    return this.#exports.dedupFind(
      this.#pointer(),
      this.#arena.pointer("fingerprints", fingerprints, count * FINGERPRINT_BYTES),
      this.#arena.output("numbers", numbers, count * 4, fingerprints, this.#table),
      count,
    );
  }

  /** Removes fingerprints where they are entered for just these page numbers; returns how many went. */
  remove(fingerprints: Span, numbers: Span, count: number): number {
    return this.#exports.dedupRemove(this.#pointer(), ...this.#lists(fingerprints, numbers, count), count);
  }

  /**
   * For pages whose content changed: removes their fingerprints `before` as {@link remove} does and enters those `after` as {@link insert}
   * does. Returns how many of the new ones the table holds now.
   */
  replace(before: Span, after: Span, numbers: Span, count: number): number {
    return this.#exports.dedupReplace(
      this.#pointer(),
      this.#arena.pointer("before", before, count * FINGERPRINT_BYTES),
      ...this.#lists(after, numbers, count),
      count,
    );
  }

  #pointer(): number {
    return this.#arena.pointer("table", this.#table, HEADER_BYTES + this.#slots * SLOT_BYTES);
  }

  #lists(fingerprints: Span, numbers: Span, count: number): [number, number] {
    return [
      this.#arena.pointer("fingerprints", fingerprints, count * FINGERPRINT_BYTES),
      this.#arena.pointer("numbers", numbers, count * 4),
    ];
  }
}

/** Finding pages of equal content. */
export class DedupKernels {
  readonly #exports: KernelExports;
  readonly #arena: Arena;

  constructor(exports: KernelExports, arena: Arena) {
    this.#exports = exports;
    this.#arena = arena;
  }

  /** A table with room for at least `capacity` fingerprints, in this arena. */
  table(capacity: number): DedupTable {
    return new DedupTable(this.#exports, this.#arena, capacity);
  }

  /**
   * Compares page `left.numbers[i]` with page `right.numbers[i]` byte by byte, for the first `count` of the lists, and sets bit i where
   * they are equal; {@link DEDUP_NONE} on the right is equal to nothing. Returns how many are equal. Throws `page-number`.
   */
  compare(left: PageList, right: PageList, count: number, pageBytes: number, bitmap: Span): number {
    const equal = this.#exports.dedupCompare(
      this.#arena.pointer("left.pages", left.pages, 0),
      pageCountOf(left.pages, pageBytes),
      this.#arena.pointer("left.numbers", left.numbers, count * 4),
      this.#arena.pointer("right.pages", right.pages, 0),
      pageCountOf(right.pages, pageBytes),
      this.#arena.pointer("right.numbers", right.numbers, count * 4),
      count,
      pageBytes,
      this.#arena.output("bitmap", bitmap, bitmapBytes(count), left.pages, left.numbers, right.pages, right.numbers),
    );
    if (equal < 0) throw new KernelError("page-number", "A page number lies outside its region.");
    return equal;
  }
}
