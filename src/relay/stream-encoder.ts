import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import type { EncodedPages } from "../page/encoder.js";
import { encodeRelayData, RELAY_MAX_RAW_BYTES, RELAY_MAX_SCRIPT_BYTES } from "../wire/relay-data.js";
import { ScriptWriter } from "../wire/relay-script.js";
import type { SourceCodec } from "./codecs.js";
import { StreamDigest } from "./digest.js";
import { QemuStreamParser, type QemuStreamSink } from "./qemu-stream.js";
import { PAGE_BYTES, type RamBlock } from "./ram-blocks.js";
import { StreamStatistics } from "./statistics.js";

/** A batch has about so many bytes of deltas and new pages, … */
const BATCH_BYTES = 1 << 20;
/** … for which at least so much of the stream is needed, and often more. */
const MIN_RAW_BYTES = 1 << 20;
/** What comes in one piece finds room although enough waits. */
const MAX_CHUNK_BYTES = 256 << 10;

/** A part of the stream as it travels. */
export interface EncodedPart {
  /** How many bytes of the stream it stands for. */
  readonly rawBytes: number;
  /** The data frame's. */
  readonly body: Uint8Array;
}

/** Turns one machine's stream into data frames. */
export class StreamEncoder implements QemuStreamSink {
  readonly statistics: StreamStatistics = new StreamStatistics();
  /** Takes a codec for a machine with so many pages of RAM. */
  readonly #takeCodec: (pageCount: number) => SourceCodec;
  readonly #parser: QemuStreamParser = new QemuStreamParser(this);
  readonly #digest: StreamDigest;
  readonly #script = new ScriptWriter(RELAY_MAX_RAW_BYTES + RELAY_MAX_SCRIPT_BYTES);
  /** What has come and is not encoded yet; before it, the beginning of a record that was sent already. */
  readonly #stream: Span;
  #streamBytes = 0;
  #sentBytes = 0;
  #wantedBytes = MIN_RAW_BYTES;
  #codec: SourceCodec;
  /** What the codec had encoded before the batch. */
  #encodedBefore: EncodedPages;
  /** The number of each block's first page. */
  #firstPages: readonly number[] = [];
  #block = -1;
  /** The page behind the last one. */
  #nextPage = 0;

  /** `plain` is the codec until RAM is seen, and for a stream in which none is. The kernels are this encoder's own. */
  constructor(kernels: Kernels, seed: bigint, plain: SourceCodec, takeCodec: (pageCount: number) => SourceCodec) {
    this.#takeCodec = takeCodec;
    this.#codec = plain;
    this.#encodedBefore = plain.encoder.encoded;
    this.#stream = kernels.arena.allocate(RELAY_MAX_RAW_BYTES);
    this.#digest = new StreamDigest(kernels, seed, RELAY_MAX_RAW_BYTES);
  }

  /** How many bytes wait to be encoded. */
  get waitingBytes(): number {
    return this.#streamBytes - this.#sentBytes;
  }

  /** Whether enough waits for a batch. */
  get isFilled(): boolean {
    return this.#streamBytes >= this.#wantedBytes;
  }

  /** Takes as many of the bytes as there is room for; returns how many. */
  take(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, RELAY_MAX_RAW_BYTES - this.#streamBytes);
    this.#stream.bytes.set(count === bytes.length ? bytes : bytes.subarray(0, count), this.#streamBytes);
    this.#streamBytes += count;
    return count;
  }

  /** The body of the next data frame. The beginning of a record waits for the rest of it, unless all that waits is asked for; then undefined may come. */
  encode(all: boolean): EncodedPart | undefined {
    const { bytes } = this.#stream;
    const from = this.#sentBytes;
    this.#encodedBefore = this.#codec.encoder.encoded;
    const parsed = this.#parser.parse(bytes, this.#streamBytes);
    const to = all ? this.#streamBytes : Math.max(parsed, from);
    if (to === from) return undefined;
    if (to > parsed) this.verbatim(parsed, to);
    const body = this.#flush(to - from, this.#digest.add(this.#stream, from, to));
    bytes.copyWithin(0, parsed, this.#streamBytes);
    this.#streamBytes -= parsed;
    this.#sentBytes = to - parsed;
    return { rawBytes: to - from, body };
  }

  verbatim(from: number, to: number): void {
    const start = Math.max(from, this.#sentBytes);
    if (start >= to) return;
    this.#script.verbatim(this.#stream.bytes, start, to);
    this.statistics.verbatimBytes += to - start;
  }

  blocks(blocks: readonly RamBlock[]): void {
    let pageCount = 0;
    const starts = blocks.map((block) => {
      pageCount += block.pageCount;
      return pageCount - block.pageCount;
    });
    this.#codec = this.#takeCodec(pageCount);
    this.#encodedBefore = this.#codec.encoder.encoded;
    const first = this.#codec.takePages(pageCount);
    this.#firstPages = starts.map((start) => first + start);
    blocks.forEach((block, index) => {
      this.#script.block(block.name, this.#firstPages[index] as number);
    });
  }

  page(from: number, to: number, block: number, page: number, isNamed: boolean): void {
    if (this.#isBegun(from, to)) return;
    const number = (this.#firstPages[block] as number) + page;
    if (isNamed) {
      this.#script.namedPage(block);
    } else {
      this.#choose(block);
      this.#script.page();
    }
    this.#codec.encoder.add(number, this.#stream.bytes.subarray(to - PAGE_BYTES, to));
    this.#block = block;
    this.#nextPage = number + 1;
  }

  zero(from: number, to: number, block: number, page: number, isNamed: boolean): void {
    if (this.#isBegun(from, to)) return;
    const number = (this.#firstPages[block] as number) + page;
    if (isNamed) {
      this.#script.namedZero(block, number - this.#nextPage);
    } else {
      this.#choose(block);
      this.#script.zero(number - this.#nextPage);
    }
    this.#block = block;
    this.#nextPage = number + 1;
    this.statistics.zeroRecords += 1;
  }

  /** Where the beginning of a record has been sent, the rest goes the same way. */
  #isBegun(from: number, to: number): boolean {
    const isBegun = from < this.#sentBytes;
    if (isBegun) this.verbatim(from, to);
    return isBegun;
  }

  #choose(block: number): void {
    if (block !== this.#block) this.#script.choose(block);
  }

  #flush(rawBytes: number, digest: Uint8Array): Uint8Array {
    const { encoder, id: codec } = this.#codec;
    let body: Uint8Array = new Uint8Array(0);
    this.#codec.flush(this.#script.take(), (batch) => {
      body = encodeRelayData({ rawBytes, codec, digest, batch });
    });
    const { encoded } = encoder;
    this.statistics.add(this.#encodedBefore, encoded);
    this.#wantedBytes = wantedBytes(rawBytes, encoded.residualBytes - this.#encodedBefore.residualBytes);
    return body;
  }
}

/** So much of the stream gives a batch of the size that is wanted, if it goes on as it did. */
function wantedBytes(rawBytes: number, residualBytes: number): number {
  const wanted = Math.round((rawBytes / Math.max(residualBytes, 1)) * BATCH_BYTES);
  return Math.min(Math.max(wanted, MIN_RAW_BYTES), RELAY_MAX_RAW_BYTES - MAX_CHUNK_BYTES);
}
