import { writeVarint } from "./varint.js";

/*
 * The script beside a batch says how to make the stream from the batch's pages. It is a list of orders, and its numbers are varints. Each begins with
 * a head, number × 8 + order:
 *
 *     1 verbatim    number: how many bytes of the stream follow here
 *     2 pages       number: so many PAGE records in the chosen block, of the batch's next pages
 *     3 zeros       number: so many ZERO records in it, of pages that follow each other; then the first one's distance, zigzag
 *     4 named page  number: the block; it is chosen, and a PAGE record that names it stands for the batch's next page
 *     5 named zero  number: the block; it is chosen, and a ZERO record names it; then the page's distance, zigzag
 *     6 choose      number: the block, which a record that went verbatim has named
 *     7 block       number: the bytes of its name; then its name, then the number of its first page. Blocks count from 0.
 *
 * Distances are from the page behind the one of the last PAGE or ZERO record. They, the blocks and the choice last as long as the stream.
 */
export const Order: {
  readonly verbatim: 1;
  readonly pages: 2;
  readonly zeros: 3;
  readonly namedPage: 4;
  readonly namedZero: 5;
  readonly choose: 6;
  readonly block: 7;
} = Object.freeze({ verbatim: 1, pages: 2, zeros: 3, namedPage: 4, namedZero: 5, choose: 6, block: 7 });
export type Order = (typeof Order)[keyof typeof Order];

/** Writes a script order by order; equal ones that follow each other become one. */
export class ScriptWriter {
  readonly #bytes: Uint8Array;
  #at = 0;
  /** The order that may still grow, or 0. */
  #order: Order | 0 = 0;
  #count = 0;
  /** zeros: the first one's distance; verbatim: where the bytes begin. */
  #start = 0;
  #stream: Uint8Array = new Uint8Array(0);

  /** For scripts of at most `maxBytes` bytes. */
  constructor(maxBytes: number) {
    this.#bytes = new Uint8Array(maxBytes);
  }

  /** Bytes of `stream`, which stay as they are until {@link take}. */
  verbatim(stream: Uint8Array, from: number, to: number): void {
    if (this.#order !== Order.verbatim || from !== this.#start + this.#count) {
      this.#end();
      this.#order = Order.verbatim;
      this.#start = from;
      this.#stream = stream;
    }
    this.#count += to - from;
  }

  page(): void {
    this.#grow(Order.pages);
  }

  zero(distance: number): void {
    if (distance !== 0) this.#end();
    if (this.#grow(Order.zeros)) this.#start = distance;
  }

  namedPage(block: number): void {
    this.#put(Order.namedPage, block);
  }

  namedZero(block: number, distance: number): void {
    this.#put(Order.namedZero, block);
    this.#at = writeVarint(this.#bytes, this.#at, zigzag(distance));
  }

  choose(block: number): void {
    this.#put(Order.choose, block);
  }

  block(name: Uint8Array, firstPage: number): void {
    this.#put(Order.block, name.length);
    this.#bytes.set(name, this.#at);
    this.#at = writeVarint(this.#bytes, this.#at + name.length, firstPage);
  }

  /** The script so far; the writer is empty afterwards. The bytes hold until the next order. */
  take(): Uint8Array {
    this.#end();
    const script = this.#bytes.subarray(0, this.#at);
    this.#at = 0;
    return script;
  }

  /** Whether the order is a new one. */
  #grow(order: Order): boolean {
    const isNew = this.#order !== order;
    if (isNew) this.#end();
    this.#order = order;
    this.#count += 1;
    return isNew;
  }

  #put(order: Order, number: number): void {
    this.#end();
    this.#at = writeVarint(this.#bytes, this.#at, number * 8 + order);
  }

  #end(): void {
    const order = this.#order;
    if (order === 0) return;
    this.#at = writeVarint(this.#bytes, this.#at, this.#count * 8 + order);
    if (order === Order.zeros) {
      this.#at = writeVarint(this.#bytes, this.#at, zigzag(this.#start));
    } else if (order === Order.verbatim) {
      this.#bytes.set(this.#stream.subarray(this.#start, this.#start + this.#count), this.#at);
      this.#at += this.#count;
    }
    this.#order = 0;
    this.#count = 0;
  }
}

function zigzag(distance: number): number {
  return distance < 0 ? -2 * distance - 1 : 2 * distance;
}

/** The distance that a zigzag number stands for. */
export function fromZigzag(number: number): number {
  return number % 2 === 1 ? -(number + 1) / 2 : number / 2;
}
