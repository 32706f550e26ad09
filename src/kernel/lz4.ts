import type { Arena } from "./arena.js";
import { checkWhole } from "./check.js";
import { KernelError } from "./errors.js";
import type { KernelExports } from "./exports.js";
import type { Span } from "./span.js";

/** The most bytes that one block may hold, as in the format's reference. */
export const LZ4_MAX_INPUT_BYTES = 0x7e00_0000;
/** Bytes of a compressor's state. */
export const LZ4_STATE_BYTES = 32768;

const REASONS: readonly string[] = [
  "the block ends inside a sequence",
  "a match starts before the output",
  "the block holds more bytes than expected",
  "the block holds fewer bytes than expected",
];

/** The most bytes that `inputBytes` bytes take when compressed. */
export function lz4Bound(inputBytes: number): number {
  return inputBytes + Math.floor(inputBytes / 255) + 16;
}

/** LZ4 blocks, without frame or size: both ends know how long the content is. */
export class Lz4Kernels {
  readonly #exports: KernelExports;
  readonly #arena: Arena;

  constructor(exports: KernelExports, arena: Arena) {
    this.#exports = exports;
    this.#arena = arena;
  }

  /** Allocates what a compressor works on; one state serves any number of blocks, one after the other. */
  state(): Span {
    return this.#arena.allocate(LZ4_STATE_BYTES);
  }

  /** Compresses the first `inputBytes` bytes of `input` into `output`, which has {@link lz4Bound} bytes; returns the block's length. */
  compress(input: Span, inputBytes: number, output: Span, state: Span): number {
    checkWhole("inputBytes", inputBytes, 0, LZ4_MAX_INPUT_BYTES);
    return this.#exports.lz4Compress(
      this.#arena.pointer("input", input, inputBytes),
      inputBytes,
      this.#arena.output("output", output, lz4Bound(inputBytes), input, state),
      this.#arena.output("state", state, LZ4_STATE_BYTES, input),
    );
  }

  /**
   * Decompresses the block in the first `inputBytes` bytes of `input` into exactly `outputBytes` bytes of `output`. Throws `lz4-malformed`,
   * whatever the input holds; the output's content is open then.
   */
  decompress(input: Span, inputBytes: number, output: Span, outputBytes: number): void {
    checkWhole("outputBytes", outputBytes, 0, LZ4_MAX_INPUT_BYTES);
    const result = this.#exports.lz4Decompress(
      this.#arena.pointer("input", input, inputBytes),
      inputBytes,
      this.#arena.output("output", output, outputBytes, input),
      outputBytes,
    );
    if (result < 0) throw new KernelError("lz4-malformed", `Not a valid LZ4 block: ${REASONS[-result - 1]}.`);
  }
}
