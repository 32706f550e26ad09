import { checkWhole } from "./check.js";
import { KernelError } from "./errors.js";

/**
 * A stretch of the kernels' memory. Its views are always current, also after the memory has grown (which detaches every older view):
 * read them from the span when you need them, and do not keep them.
 */
export class Span {
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly #memory: WebAssembly.Memory;
  readonly #whole: Span | undefined;
  #bytes: Uint8Array | undefined;
  #u32: Uint32Array | undefined;
  #i32: Int32Array | undefined;
  #u64: BigUint64Array | undefined;
  #isReleased = false;

  /** Spans come from an {@link Arena}, which checks the numbers; a part also from the span that it is a part of. */
  constructor(memory: WebAssembly.Memory, byteOffset: number, byteLength: number, whole?: Span) {
    this.#memory = memory;
    this.#whole = whole;
    this.byteOffset = byteOffset;
    this.byteLength = byteLength;
  }

  /** A part of the span; it is released when the span is. */
  part(byteOffset: number, byteLength: number): Span {
    checkWhole("byteOffset", byteOffset, 0, this.byteLength);
    checkWhole("byteLength", byteLength, 0, this.byteLength - byteOffset);
    return new Span(this.#memory, this.byteOffset + byteOffset, byteLength, this);
  }

  /** The span as bytes. */
  get bytes(): Uint8Array {
    const buffer = this.#buffer();
    if (this.#bytes?.buffer !== buffer) this.#bytes = new Uint8Array(buffer, this.byteOffset, this.byteLength);
    return this.#bytes as Uint8Array;
  }

  /** The span as unsigned 32-bit numbers (page numbers, lengths); a rest of under 4 bytes is left out. */
  get u32(): Uint32Array {
    const buffer = this.#buffer();
    if (this.#u32?.buffer !== buffer) this.#u32 = new Uint32Array(buffer, this.#aligned(4), this.byteLength >>> 2);
    return this.#u32 as Uint32Array;
  }

  /** The span as signed 32-bit numbers (delta lengths). */
  get i32(): Int32Array {
    const buffer = this.#buffer();
    if (this.#i32?.buffer !== buffer) this.#i32 = new Int32Array(buffer, this.#aligned(4), this.byteLength >>> 2);
    return this.#i32 as Int32Array;
  }

  /** The span as unsigned 64-bit words (fingerprints, fill words). */
  get u64(): BigUint64Array {
    const buffer = this.#buffer();
    if (this.#u64?.buffer !== buffer) this.#u64 = new BigUint64Array(buffer, this.#aligned(8), this.byteLength >>> 3);
    return this.#u64 as BigUint64Array;
  }

  /** Whether the arena took the span back; it cannot be used any more then. */
  get isReleased(): boolean {
    return this.#isReleased || (this.#whole?.isReleased ?? false);
  }

  /** Whether the span lies in this memory. */
  isIn(memory: WebAssembly.Memory): boolean {
    return this.#memory === memory;
  }

  /** Called by the arena when it takes the span back. */
  release(): void {
    this.#isReleased = true;
    this.#bytes = this.#u32 = this.#i32 = this.#u64 = undefined;
  }

  #buffer(): ArrayBufferLike {
    if (this.isReleased) throw new KernelError("released-span", "This span was given back to its arena.");
    return this.#memory.buffer;
  }

  #aligned(elementBytes: number): number {
    if (this.byteOffset % elementBytes !== 0) {
      throw new KernelError(
        "argument",
        `A span at byte ${this.byteOffset} has no view of ${elementBytes}-byte elements.`,
      );
    }
    return this.byteOffset;
  }
}
