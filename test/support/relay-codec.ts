import { newKernels, type SourceCodec, SourceCodecs, TargetCodecs } from "../../src/relay/codecs.js";
import { StreamDecoder } from "../../src/relay/stream-decoder.js";
import { StreamEncoder } from "../../src/relay/stream-encoder.js";
import { decodeRelayData } from "../../src/wire/relay-data.js";
import { expectSameBytes } from "./bytes.js";

const SEED = 7n;
const CACHE_BYTES = 4 << 20;

/** Both ends' codecs without a link between them. */
export class CodecPair {
  readonly target: TargetCodecs = new TargetCodecs(CACHE_BYTES);
  readonly source: SourceCodecs;
  readonly created: SourceCodec[] = [];

  constructor(share: readonly (readonly string[])[] = [], compression: "none" | "lz4" = "lz4") {
    this.source = new SourceCodecs({
      share,
      cacheBytes: CACHE_BYTES,
      compression,
      zstd: undefined,
      onCreate: (codec) => {
        this.created.push(codec);
        this.target.create(codec.id, codec.cacheBytes);
      },
      onDrop: ({ id }) => this.target.drop(id),
    });
  }

  stream(machine: string): StreamPair {
    return new StreamPair(machine, this);
  }
}

/** One stream through encoder and decoder, which compares what comes out with what went in. */
export class StreamPair {
  readonly encoder: StreamEncoder;
  readonly decoder: StreamDecoder;
  /** The bodies of all data frames. */
  readonly bodies: Uint8Array[] = [];
  readonly #codecs: CodecPair;
  readonly #kernels = [newKernels(), newKernels()] as const;
  readonly #memoryBytes: number;
  #codec: SourceCodec | undefined;
  #waiting: Uint8Array = new Uint8Array(0);

  constructor(machine: string, codecs: CodecPair) {
    this.#codecs = codecs;
    this.encoder = new StreamEncoder(this.#kernels[0], SEED, codecs.source.plain, (pageCount) => {
      this.#codec = codecs.source.join(machine, pageCount);
      return this.#codec;
    });
    this.decoder = new StreamDecoder(this.#kernels[1], SEED, codecs.target);
    this.#memoryBytes = this.#countMemory();
  }

  /** Whether encoder and decoder have taken memory since they were made. */
  get hasGrown(): boolean {
    return this.#countMemory() !== this.#memoryBytes;
  }

  /** Passes bytes through; `isSilent`: nothing of them waits. */
  async pass(bytes: Uint8Array, isSilent: boolean): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const taken = this.encoder.take(bytes.subarray(at));
      this.#waiting = Buffer.concat([this.#waiting, bytes.subarray(at, at + taken)]);
      at += taken;
      if (this.encoder.isFilled || at < bytes.length) await this.#encode(false);
    }
    if (isSilent) await this.#encode(true);
  }

  /** Lets go of the codec. */
  end(): void {
    if (this.#codec !== undefined) this.#codecs.source.leave(this.#codec);
    this.#codec = undefined;
  }

  async #encode(all: boolean): Promise<void> {
    const part = this.encoder.encode(all);
    if (part === undefined) return;
    this.bodies.push(part.body);
    const bytes = await this.decoder.decode(decodeRelayData(part.body));
    expectSameBytes(bytes, this.#waiting.subarray(0, part.rawBytes));
    this.#waiting = this.#waiting.subarray(part.rawBytes);
  }

  /** How many bytes have not come out yet. */
  get waitingBytes(): number {
    return this.#waiting.length;
  }

  #countMemory(): number {
    return this.#kernels.reduce((sum, { arena }) => sum + arena.memory.buffer.byteLength, 0);
  }
}
