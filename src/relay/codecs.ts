import { inlineKernels } from "../kernel/inline.js";
import { createKernelsSync, type Kernels } from "../kernel/load.js";
import type { Compression } from "../page/compression/compressor.js";
import type { Zstd } from "../page/compression/zstd.js";
import { PageDecoder } from "../page/decoder.js";
import { PageEncoder } from "../page/encoder.js";
import { fittingCacheBytes } from "../page/limits.js";
import { RELAY_MAX_RAW_BYTES, RELAY_MAX_SCRIPT_BYTES } from "../wire/relay-data.js";
import { RELAY_MAX_MACHINES } from "../wire/relay-messages.js";
import { RelayError } from "./errors.js";
import { MAX_PAGES, PAGE_BYTES } from "./ram-blocks.js";
import type { StreamDecoder } from "./stream-decoder.js";

/** The codec that both ends have from the start: without a cache, for what is no RAM. */
export const PLAIN_CODEC = 0;
/** Numbers of pages name places in a cache and nothing else: there are enough of them for any number of machines. */
const SPACE = { pageBytes: PAGE_BYTES, pageCount: MAX_PAGES };
/** What a cache takes at least, and a WebAssembly memory at most. */
const MIN_CACHE_BYTES = fittingCacheBytes(SPACE, 0);
const MAX_CACHE_BYTES = 3 * 2 ** 30;
/** Above what a batch can have: batches end where the stream's parts do. */
const ENCODER_BATCH_BYTES = RELAY_MAX_RAW_BYTES + RELAY_MAX_SCRIPT_BYTES;
const ZSTD_LEVEL = 1;

let module: WebAssembly.Module | undefined;

/** Kernels at once, from code that is compiled once. */
export function newKernels(): Kernels {
  module ??= new WebAssembly.Module(inlineKernels() as BufferSource);
  return createKernelsSync({ source: module });
}

/** A codec at the source, for one machine or for those that share. */
export class SourceCodec {
  readonly id: number;
  readonly cacheBytes: number;
  readonly encoder: PageEncoder;
  /** Streams that use it. */
  users = 0;
  /** Takes the next batch, which is the encoder's. */
  #onBatch: (batch: Uint8Array) => void = () => {};
  #nextPage = 0;

  constructor(id: number, cacheBytes: number, compression: Compression, zstd: Zstd | undefined) {
    this.id = id;
    this.cacheBytes = cacheBytes;
    const options = { ...SPACE, compression, cacheBytes, batchBytes: ENCODER_BATCH_BYTES, zstdLevel: ZSTD_LEVEL };
    const onBatch = (batch: Uint8Array): void => this.#onBatch(batch);
    this.encoder = new PageEncoder(newKernels(), { ...options, listUnchanged: true, onBatch }, zstd);
  }

  /** Ends a batch with this annex; `onBatch` takes it, and it is the encoder's. */
  flush(annex: Uint8Array, onBatch: (batch: Uint8Array) => void): void {
    this.#onBatch = onBatch;
    this.encoder.flush(annex);
  }

  /** Numbers for the pages of a machine; the first of them. When all numbers are used up they begin anew, which costs deltas and nothing else. */
  takePages(count: number): number {
    if (this.#nextPage + count > MAX_PAGES) this.#nextPage = 0;
    this.#nextPage += count;
    return this.#nextPage - count;
  }
}

/** Options of {@link SourceCodecs}. */
export interface SourceCodecOptions {
  /** Machines of one owner, whose pages may be found in each other; every other machine is for itself. */
  readonly share: readonly (readonly string[])[];
  /** For all caches together. */
  readonly cacheBytes: number;
  readonly compression: Compression;
  readonly zstd: Zstd | undefined;
  /** The destination must know of a codec before data comes in it, … */
  readonly onCreate: (codec: SourceCodec) => void;
  /** … and that none comes any more. */
  readonly onDrop: (codec: SourceCodec) => void;
}

/** The source's codecs: each lives as long as a stream uses it, so that the memory is there for others afterwards. */
export class SourceCodecs {
  readonly plain: SourceCodec;
  readonly #options: SourceCodecOptions;
  readonly #codecs = new Map<readonly string[] | string, SourceCodec>();
  #freeBytes: number;
  #lastId = PLAIN_CODEC;

  constructor(options: SourceCodecOptions) {
    this.#options = options;
    this.#freeBytes = options.cacheBytes;
    this.plain = new SourceCodec(PLAIN_CODEC, 0, options.compression, options.zstd);
  }

  /** A codec for a machine with so many pages of RAM; give it back with {@link leave}. */
  join(machine: string, pageCount: number): SourceCodec {
    const group = this.#options.share.find((names) => names.includes(machine)) ?? machine;
    let codec = this.#codecs.get(group);
    if (codec === undefined) {
      codec = this.#create(pageCount * (typeof group === "string" ? 1 : group.length));
      this.#codecs.set(group, codec);
    }
    codec.users += 1;
    return codec;
  }

  leave(codec: SourceCodec): void {
    codec.users -= 1;
    if (codec.users > 0) return;
    for (const [group, other] of this.#codecs) if (other === codec) this.#codecs.delete(group);
    this.#freeBytes += codec.cacheBytes;
    this.#options.onDrop(codec);
  }

  /** The link takes so much. */
  observeLink(bytesPerSecond: number): void {
    for (const { encoder } of [this.plain, ...this.#codecs.values()]) {
      encoder.compressionChoice?.observeLink(bytesPerSecond, true);
    }
  }

  #create(pageCount: number): SourceCodec {
    const { compression, zstd, onCreate } = this.#options;
    const mostBytes = Math.min(Math.max(this.#freeBytes, 0), MAX_CACHE_BYTES);
    const cacheBytes = fittingCacheBytes({ ...SPACE, pageCount }, mostBytes);
    this.#lastId += 1;
    const codec = new SourceCodec(this.#lastId, cacheBytes, compression, zstd);
    this.#freeBytes -= cacheBytes;
    onCreate(codec);
    return codec;
  }
}

/** A codec at the destination. */
class TargetCodec {
  readonly cacheBytes: number;
  readonly #decoder: PageDecoder;
  #stream: StreamDecoder | undefined;

  constructor(cacheBytes: number) {
    this.cacheBytes = cacheBytes;
    const store = {
      readPages: (): void => {
        // The plain codec has no cache and no pages either: whatever refers to one is malformed.
        throw new RelayError("stream-malformed", "A batch refers to pages that were never sent.");
      },
      writePages: (firstPage: number, pages: Uint8Array): void => this.#stream?.pages(firstPage, pages),
    };
    const onAnnex = (annex: Uint8Array): void => this.#stream?.begin(annex);
    this.#decoder = new PageDecoder(newKernels(), store, { ...SPACE, cacheBytes, onAnnex }, undefined);
  }

  async decode(batch: Uint8Array, stream: StreamDecoder): Promise<void> {
    await this.#decoder.prepareFor(batch);
    this.#stream = stream;
    this.#decoder.decode(batch);
  }
}

/** The destination's codecs, as the source asks for them. */
export class TargetCodecs {
  readonly #codecs: Map<number, TargetCodec> = new Map([[PLAIN_CODEC, new TargetCodec(0)]]);
  #freeBytes: number;

  /** `cacheBytes`: for all caches together. */
  constructor(cacheBytes: number) {
    this.#freeBytes = cacheBytes;
  }

  /** Throws `protocol` where there is no room. */
  create(id: number, cacheBytes: number): void {
    const isAllowed =
      cacheBytes >= MIN_CACHE_BYTES &&
      cacheBytes <= Math.min(Math.max(this.#freeBytes, MIN_CACHE_BYTES), MAX_CACHE_BYTES);
    if (!isAllowed || this.#codecs.has(id) || this.#codecs.size > RELAY_MAX_MACHINES) {
      throw new RelayError(
        "protocol",
        `The other relay asks for a cache of ${cacheBytes} bytes, which it may not have.`,
      );
    }
    this.#codecs.set(id, new TargetCodec(cacheBytes));
    this.#freeBytes -= cacheBytes;
  }

  /** Throws `protocol`. */
  drop(id: number): void {
    if (id === PLAIN_CODEC) throw new RelayError("protocol", "The other relay drops the codec that stays.");
    this.#freeBytes += this.#get(id).cacheBytes;
    this.#codecs.delete(id);
  }

  /** Decodes a batch into the stream. Throws {@link RelayError}, PageError. */
  decode(id: number, batch: Uint8Array, stream: StreamDecoder): Promise<void> {
    return this.#get(id).decode(batch, stream);
  }

  #get(id: number): TargetCodec {
    const codec = this.#codecs.get(id);
    if (codec === undefined)
      throw new RelayError("protocol", "The other relay uses a codec that it has not announced.");
    return codec;
  }
}
