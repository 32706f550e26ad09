import { checkPageBytes, checkWhole } from "./check.js";
import { KernelError } from "./errors.js";
import { Span } from "./span.js";

const WASM_PAGE_BYTES = 65536;
/** Spans start at cache lines. */
const ALIGNMENT_BYTES = 64;
/** From this size on, spans are set apart so that two of them never start at the same place of the caches' sets. */
const STAGGER_FROM_BYTES = 65536;
const STAGGER_BYTES = 14 * 1024;

/** The bytes of a bitmap of `bitCount` bits: whole 64-bit words. */
export function bitmapBytes(bitCount: number): number {
  return Math.ceil(bitCount / 64) * 8;
}

/** The part of a memory that an arena may use. */
export interface ArenaRegion {
  /** Where it begins. */
  readonly byteOffset: number;
  /** How long it is, in bytes. */
  readonly byteLength: number;
}

/**
 * Hands out all the memory that kernels work on and checks every span that comes back. It allocates upwards and is emptied downwards:
 * take a {@link mark}, allocate, and {@link release} the mark.
 */
export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly #endBytes: number;
  readonly #growable: boolean;
  readonly #spans: Span[] = [];
  readonly #tops: number[] = [];
  #top: number;
  #bytes: Uint8Array | undefined;

  /**
   * With a region: an arena in that region of a memory that somebody else owns; it never grows the memory. Without one: an arena over a
   * memory of its own, which grows as needed.
   */
  constructor(memory: WebAssembly.Memory, region?: ArenaRegion) {
    this.memory = memory;
    this.#growable = region === undefined;
    if (region === undefined) {
      // Nothing is ever placed at 0, so that a forgotten pointer is not a valid one.
      this.#top = ALIGNMENT_BYTES;
      this.#endBytes = 65536 * WASM_PAGE_BYTES - WASM_PAGE_BYTES;
    } else {
      checkWhole("scratch.byteOffset", region.byteOffset);
      checkWhole("scratch.byteLength", region.byteLength);
      this.#top = region.byteOffset;
      this.#endBytes = region.byteOffset + region.byteLength;
      if (this.#endBytes > memory.buffer.byteLength) {
        throw new KernelError("argument", `The scratch region ends at byte ${this.#endBytes}, outside its memory.`);
      }
    }
  }

  /** A span of `byteLength` bytes, at a cache line. What it holds is open. Throws `arena-full`. */
  allocate(byteLength: number): Span {
    checkWhole("byteLength", byteLength);
    const stagger = byteLength >= STAGGER_FROM_BYTES ? STAGGER_BYTES : 0;
    const byteOffset = Math.ceil((this.#top + stagger) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    const end = byteOffset + byteLength;
    if (end > this.#endBytes) throw this.#full(byteLength);
    const missing = end - this.memory.buffer.byteLength;
    if (missing > 0) {
      if (!this.#growable) throw this.#full(byteLength);
      try {
        this.memory.grow(Math.ceil(missing / WASM_PAGE_BYTES));
      } catch (cause) {
        throw this.#full(byteLength, cause);
      }
    }
    const span = new Span(this.memory, byteOffset, byteLength);
    this.#spans.push(span);
    this.#tops.push(this.#top);
    this.#top = end;
    return span;
  }

  /** Room for `pageCount` pages. */
  allocatePages(pageCount: number, pageBytes: number): Span {
    checkPageBytes(pageBytes);
    checkWhole("pageCount", pageCount);
    return this.allocate(pageCount * pageBytes);
  }

  /** Room for a bitmap of `bitCount` bits, all 0. */
  allocateBitmap(bitCount: number): Span {
    checkWhole("bitCount", bitCount);
    const span = this.allocate(bitmapBytes(bitCount));
    span.bytes.fill(0);
    return span;
  }

  /** Where the arena stands: everything that is allocated from here on goes with `release(mark)`. */
  mark(): number {
    return this.#spans.length;
  }

  /** Takes back all spans that were allocated since the mark; they throw when they are used again. */
  release(mark: number): void {
    checkWhole("mark", mark, 0, this.#spans.length);
    while (this.#spans.length > mark) {
      this.#spans.pop()?.release();
      this.#top = this.#tops.pop() ?? this.#top;
    }
  }

  /** The span that a view of this memory covers: the way in for memory that the arena did not hand out, such as a guest's RAM. */
  spanOf(view: ArrayBufferView): Span {
    if (view.buffer !== this.memory.buffer) {
      throw new KernelError(
        "foreign-span",
        "The view is not on this memory, or the memory has grown since it was made.",
      );
    }
    return new Span(this.memory, view.byteOffset, view.byteLength);
  }

  /** Copies bytes from one span to another. With the spans' own views this would take a new object for the part that is copied. */
  copy(from: Span, fromByte: number, to: Span, toByte: number, byteLength: number): void {
    checkWhole("fromByte", fromByte);
    checkWhole("toByte", toByte);
    checkWhole("byteLength", byteLength);
    const source = this.pointer("from", from, fromByte + byteLength) + fromByte;
    const target = this.pointer("to", to, toByte + byteLength) + toByte;
    const { buffer } = this.memory;
    if (this.#bytes?.buffer !== buffer) this.#bytes = new Uint8Array(buffer);
    this.#bytes.copyWithin(target, source, source + byteLength);
  }

  /** The pointer to a span of at least `byteLength` bytes. */
  pointer(name: string, span: Span, byteLength: number): number {
    if (!span.isIn(this.memory)) throw new KernelError("foreign-span", `${name} is a span of another memory.`);
    if (span.isReleased) throw new KernelError("released-span", `${name} was given back to its arena.`);
    checkWhole(`The length of ${name}`, byteLength);
    if (span.byteLength < byteLength) {
      throw new KernelError("span-too-small", `${name} has ${span.byteLength} bytes where ${byteLength} are needed.`);
    }
    return span.byteOffset;
  }

  /** The pointer to a span that is written: like {@link pointer}, and it may not overlap the inputs. */
  output(name: string, span: Span, byteLength: number, ...inputs: readonly Span[]): number {
    const pointer = this.pointer(name, span, byteLength);
    for (const input of inputs) {
      if (pointer < input.byteOffset + input.byteLength && input.byteOffset < pointer + byteLength) {
        throw new KernelError("overlap", `${name} overlaps an input.`);
      }
    }
    return pointer;
  }

  #full(byteLength: number, cause?: unknown): KernelError {
    const free = Math.max(0, this.#endBytes - this.#top);
    return new KernelError("arena-full", `No room for ${byteLength} bytes; at most ${free} are left.`, { cause });
  }
}
