import { type Kernels, lz4Bound } from "pageferry";
import { Lz4Wasm } from "../../test/support/lz4-wasm.js";
import { blocksOf, fillWithBinary, fillWithRandom, REGION_BYTES, REGION_NAME } from "../input.js";
import { type Row, visitEach } from "../measure.js";

interface Lz4Napi {
  compressSync(input: Buffer): Buffer;
  uncompressSync(block: Buffer): Buffer;
}

/** A native addon: undefined where the platform has none. */
async function loadNative(): Promise<Lz4Napi | undefined> {
  try {
    return (await import("lz4-napi")) as unknown as Lz4Napi;
  } catch {
    return undefined;
  }
}

export async function* lz4Rows({ arena, lz4 }: Kernels): AsyncGenerator<Row> {
  const region = arena.allocate(REGION_BYTES);
  const state = lz4.state();
  const lz4Wasm = await Lz4Wasm.load();
  const native = await loadNative();

  const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

  for (const [input, fill] of [
    [REGION_NAME, fillWithBinary],
    [`${REGION_BYTES >> 20} MiB of random bytes`, fillWithRandom],
  ] as const) {
    fill(region.bytes);
    for (const [name, blockBytes] of [
      ["lz4/compress-4k", 4096],
      ["lz4/compress-64k", 65536],
    ] as const) {
      const mark = arena.mark();
      const packed = arena.allocate(lz4Bound(blockBytes));
      const blocks = blocksOf(region.bytes, blockBytes);
      const spans = blocks.map((block) => arena.spanOf(block));
      let outputBytes = 0;
      let peerBytes = 0;
      for (const span of spans) outputBytes += lz4.compress(span, blockBytes, packed, state);
      for (const block of blocks) peerBytes += lz4Wasm.compress(block).length;
      yield {
        name,
        input: `${input} (lz4-wasm makes ${peerBytes} bytes of it)`,
        outputBytes,
        kernel: visitEach(REGION_BYTES, spans, (span) => lz4.compress(span, blockBytes, packed, state)),
        peers: {
          "lz4-wasm": visitEach(REGION_BYTES, blocks, (block) => lz4Wasm.compress(block)),
          ...(native && {
            "lz4-napi": visitEach(REGION_BYTES, blocks, (block) => native.compressSync(asBuffer(block))),
          }),
        },
      };
      arena.release(mark);
    }
  }

  fillWithBinary(region.bytes);
  const blockBytes = 65536;
  const packed = blocksOf(region.bytes, blockBytes).map((block) => lz4Wasm.compress(block).slice());
  const unpacked = arena.allocate(blockBytes);
  const inputs = packed.map((block) => {
    const span = arena.allocate(block.length);
    span.bytes.set(block);
    return span;
  });
  const sized = native && blocksOf(region.bytes, blockBytes).map((block) => native.compressSync(asBuffer(block)));
  yield {
    name: "lz4/decompress-64k",
    input: `${REGION_NAME}, blocks of lz4-wasm`,
    kernel: visitEach(REGION_BYTES, inputs, (block) => lz4.decompress(block, block.byteLength, unpacked, blockBytes)),
    peers: {
      "lz4-wasm": visitEach(REGION_BYTES, packed, (block) => lz4Wasm.decompress(block, blockBytes)),
      ...(native &&
        sized && { "lz4-napi": visitEach(REGION_BYTES, sized, (block) => native.uncompressSync(block as Buffer)) }),
    },
  };
}
