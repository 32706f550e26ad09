import type { Arena } from "./arena.js";
import { checkPageBytes } from "./check.js";
import { KernelError } from "./errors.js";
import type { KernelExports } from "./exports.js";
import { pageCountOf } from "./scan.js";
import type { Span } from "./span.js";

/** A delta's length where the pages are equal. */
export const DELTA_UNCHANGED = 0;
/** A delta's length where the delta would be longer than the page: the page travels whole. */
export const DELTA_OVERFLOW: number = -1;

const DELTA_MALFORMED = -2;
const DELTA_STREAM_LENGTH = -3;
const DELTA_PAGE_NUMBER = -4;

/** Pages of a region by number: the region, and a list of page numbers (u32). */
export interface PageList {
  readonly pages: Span;
  readonly numbers: Span;
}

/**
 * XBZRLE, the delta format of QEMU's migration stream, for pages of 1 to 64 KiB. Up to 16 KiB the bytes are QEMU's own; on larger pages
 * a run's length may take three bytes instead of two.
 */
export class DeltaKernels {
  readonly #exports: KernelExports;
  readonly #arena: Arena;

  constructor(exports: KernelExports, arena: Arena) {
    this.#exports = exports;
    this.#arena = arena;
  }

  /**
   * Encodes the change from page `before` to page `after` into `out`, which has a page's bytes. Returns the payload's length,
   * {@link DELTA_UNCHANGED} or {@link DELTA_OVERFLOW}.
   */
  encode(before: Span, after: Span, pageBytes: number, out: Span): number {
    checkPageBytes(pageBytes);
    return this.#exports.deltaEncode(
      this.#arena.pointer("before", before, pageBytes),
      this.#arena.pointer("after", after, pageBytes),
      pageBytes,
      this.#arena.output("out", out, pageBytes, before, after),
    );
  }

  /**
   * Encodes page `after.numbers[i]` against page `before.numbers[i]` for the first `count` of the lists (which may be the same span).
   * `lengths` (i32) gets a length for each, as {@link encode} returns it; the payloads stand in `out` (room for `count` pages) without gaps.
   * Returns the payloads' bytes in all.
   */
  encodeList(before: PageList, after: PageList, count: number, pageBytes: number, lengths: Span, out: Span): number {
    const inputs = [before.pages, before.numbers, after.pages, after.numbers];
    const bytes = this.#exports.deltaEncodeList(
      this.#arena.pointer("before.pages", before.pages, 0),
      pageCountOf(before.pages, pageBytes),
      this.#arena.pointer("before.numbers", before.numbers, count * 4),
      this.#arena.pointer("after.pages", after.pages, 0),
      pageCountOf(after.pages, pageBytes),
      this.#arena.pointer("after.numbers", after.numbers, count * 4),
      count,
      pageBytes,
      this.#arena.output("lengths", lengths, count * 4, ...inputs, out),
      this.#arena.output("out", out, count * pageBytes, ...inputs),
    );
    this.#check(bytes);
    return bytes;
  }

  /**
   * Applies a payload of `payloadBytes` bytes to the page that it was encoded against. Throws `xbzrle-malformed`, with the page untouched, on
   * anything that is not a valid payload for such a page.
   */
  decode(payload: Span, payloadBytes: number, page: Span, pageBytes: number): void {
    checkPageBytes(pageBytes);
    this.#check(
      this.#exports.deltaDecode(
        this.#arena.pointer("payload", payload, payloadBytes),
        payloadBytes,
        this.#arena.output("page", page, pageBytes, payload),
        pageBytes,
      ),
    );
  }

  /**
   * Applies a stream of payloads: the first `count` of `lengths` (none negative), one after the other, to the pages that
   * `target.numbers` names. Throws `xbzrle-malformed` or `page-number`, with every page untouched.
   */
  decodeList(
    stream: Span,
    streamBytes: number,
    lengths: Span,
    target: PageList,
    count: number,
    pageBytes: number,
  ): void {
    const pageCount = pageCountOf(target.pages, pageBytes);
    this.#check(
      this.#exports.deltaDecodeList(
        this.#arena.pointer("stream", stream, streamBytes),
        streamBytes,
        this.#arena.pointer("lengths", lengths, count * 4),
        this.#arena.output("target.pages", target.pages, pageCount * pageBytes, stream, lengths, target.numbers),
        pageCount,
        this.#arena.pointer("target.numbers", target.numbers, count * 4),
        count,
        pageBytes,
      ),
    );
  }

  #check(result: number): void {
    if (result >= 0) return;
    switch (result) {
      case DELTA_MALFORMED:
        throw new KernelError("xbzrle-malformed", "A delta breaks the XBZRLE format or leaves its page.");
      case DELTA_STREAM_LENGTH:
        throw new KernelError("xbzrle-malformed", "The deltas' lengths do not add up to the stream's.");
      case DELTA_PAGE_NUMBER:
        throw new KernelError("page-number", "A page number lies outside its region.");
    }
  }
}
