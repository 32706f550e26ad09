import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import { RELAY_MAX_RAW_BYTES, type RelayData } from "../wire/relay-data.js";
import { fromZigzag, Order } from "../wire/relay-script.js";
import { VarintReader } from "../wire/varint.js";
import type { TargetCodecs } from "./codecs.js";
import { StreamDigest } from "./digest.js";
import { RelayError } from "./errors.js";
import { Flag, MAX_BLOCKS, PAGE_BYTES } from "./ram-blocks.js";

const CONTINUE_BYTES = 8;

/** A block of RAM as the script knows it. */
interface Block {
  readonly name: Uint8Array;
  readonly firstPage: number;
}

/** Makes one machine's stream from data frames, byte for byte what it was. Trusts nothing that it is given. */
export class StreamDecoder {
  readonly #codecs: TargetCodecs;
  readonly #digest: StreamDigest;
  readonly #stream: Span;
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#bytes.buffer);
  /** How much of the stream's part there is, and how much there must be. */
  #at = 0;
  #end = 0;
  #script: Uint8Array = new Uint8Array(0);
  #reader: VarintReader = new VarintReader(this.#script);
  /** PAGE records that wait for their pages. */
  #pages = 0;
  #isNamed = false;
  readonly #blocks: Block[] = [];
  #block: Block | undefined;
  #nextPage = 0;

  /** The kernels are this decoder's own. */
  constructor(kernels: Kernels, seed: bigint, codecs: TargetCodecs) {
    this.#codecs = codecs;
    this.#stream = kernels.arena.allocate(RELAY_MAX_RAW_BYTES);
    this.#digest = new StreamDigest(kernels, seed, RELAY_MAX_RAW_BYTES);
  }

  /**
   * The part of the stream that a data frame stands for, which holds until the next one. Throws `stream-malformed`, `digest-differs`, `protocol`, and what
   * decoding a batch throws; after that neither the decoder nor the codec is of any use.
   */
  async decode({ rawBytes, codec, digest, batch }: RelayData): Promise<Uint8Array> {
    this.start(rawBytes);
    await this.#codecs.decode(codec, batch, this);
    this.finish();
    if (Buffer.compare(this.#digest.add(this.#stream, 0, rawBytes), digest) !== 0) {
      throw new RelayError(
        "digest-differs",
        "The stream did not arrive as it was sent: nothing more of it is delivered.",
      );
    }
    return this.#bytes.subarray(0, rawBytes);
  }

  /** A part of so many bytes begins. */
  start(rawBytes: number): void {
    this.#bytes = this.#stream.bytes;
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, rawBytes);
    this.#at = 0;
    this.#end = rawBytes;
  }

  /** Takes the script, which stays as it is until all pages have come. */
  begin(script: Uint8Array): void {
    this.#script = script;
    this.#reader = new VarintReader(script);
    this.#pages = 0;
  }

  /** Takes the batch's next pages, which follow each other. */
  pages(firstPage: number, pages: Uint8Array): void {
    for (let at = 0; at < pages.length; at += PAGE_BYTES) {
      if (this.#pages === 0) this.#run();
      if (this.#pages === 0) throw malformed("it has more pages than its script");
      this.#pages -= 1;
      this.#header(firstPage + at / PAGE_BYTES, Flag.page, PAGE_BYTES);
      this.#bytes.set(pages.subarray(at, at + PAGE_BYTES), this.#at);
      this.#at += PAGE_BYTES;
    }
  }

  /** All pages have come: the part must be whole. */
  finish(): void {
    this.#run();
    if (this.#pages > 0) throw malformed("it has fewer pages than its script");
    if (this.#at !== this.#end) throw malformed("it does not have the length it says");
  }

  /** Follows the script until it needs a page. */
  #run(): void {
    const reader = this.#reader;
    while (this.#pages === 0 && !reader.isAtEnd) {
      const head = reader.next();
      const number = Math.floor(head / 8);
      switch (head % 8) {
        case Order.verbatim: {
          const from = reader.skip(number);
          this.#room(number);
          this.#bytes.set(this.#script.subarray(from, from + number), this.#at);
          this.#at += number;
          break;
        }
        case Order.pages:
          this.#pages = number;
          break;
        case Order.zeros:
          this.#zeros(number);
          break;
        case Order.namedPage:
          this.#choose(number, true);
          this.#pages = 1;
          break;
        case Order.namedZero:
          this.#choose(number, true);
          this.#zeros(1);
          break;
        case Order.choose:
          this.#choose(number, false);
          break;
        case Order.block:
          this.#addBlock(number);
          break;
        default:
          throw malformed("its script has an unknown order");
      }
    }
  }

  #zeros(count: number): void {
    const first = this.#nextPage + fromZigzag(this.#reader.next());
    for (let at = 0; at < count; at++) {
      this.#header(first + at, Flag.zero, 1);
      this.#bytes[this.#at++] = 0;
    }
  }

  #choose(block: number, isNamed: boolean): void {
    this.#block = this.#blocks[block];
    this.#isNamed = isNamed;
  }

  #addBlock(nameBytes: number): void {
    if (nameBytes > 255 || this.#blocks.length === MAX_BLOCKS) throw malformed("its script names too many blocks");
    const from = this.#reader.skip(nameBytes);
    this.#blocks.push({ name: this.#script.slice(from, from + nameBytes), firstPage: this.#reader.next() });
  }

  /** Writes a record's header, with room for what follows it. */
  #header(page: number, flag: number, bodyBytes: number): void {
    const block = this.#block;
    const index = page - (block?.firstPage ?? 0);
    if (block === undefined || index < 0) throw malformed("its script names a page of no block");
    const { name } = block;
    const nameBytes = this.#isNamed ? 1 + name.length : 0;
    this.#room(CONTINUE_BYTES + nameBytes + bodyBytes);
    this.#view.setUint32(this.#at, Math.floor(index / 2 ** 20));
    this.#view.setUint32(this.#at + 4, (index % 2 ** 20) * PAGE_BYTES + flag + (this.#isNamed ? 0 : Flag.continue));
    this.#at += CONTINUE_BYTES;
    if (this.#isNamed) {
      this.#bytes[this.#at] = name.length;
      this.#bytes.set(name, this.#at + 1);
      this.#at += nameBytes;
      this.#isNamed = false;
    }
    this.#nextPage = page + 1;
  }

  #room(byteLength: number): void {
    if (this.#at + byteLength > this.#end) throw malformed("it is longer than it says");
  }
}

function malformed(reason: string): RelayError {
  return new RelayError("stream-malformed", `A part of a stream is malformed: ${reason}.`);
}
