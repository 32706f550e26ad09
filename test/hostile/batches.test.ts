import { describe, expect, it } from "vitest";
import { lz4Bound } from "../../src/index.js";
import { loadZstd } from "../../src/page/compression/zstd.js";
import { PageDecoder } from "../../src/page/decoder.js";
import { PageEncoder } from "../../src/page/encoder.js";
import { PageError } from "../../src/page/errors.js";
import { BATCH_HEADER_BYTES, type BatchHeader, type Codec, decodeBatchHeader } from "../../src/wire/batch.js";
import { TestStore, WriteOnlyStore } from "../page/stores.js";
import { encodeBatch } from "../support/batch.js";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";
import { BatchTwin, readBatch } from "../twin/batch.js";

/** Cases in each of the four runs. `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 25_000);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261124");
const CASES_PER_INPUT = 50;
const PAGE_BYTES = 1024;
const PAGE_COUNT = 16;
const SPACE = { pageBytes: PAGE_BYTES, pageCount: PAGE_COUNT };
const CACHE_BYTES = 256 << 10;
const CODECS: readonly Codec[] = ["none", "lz4", "zstd"];
const CLASSES = ["zero", "fill", "dup", "delta", "novel"] as const;
const zstd = await loadZstd();

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

function decompressZstd(frame: Uint8Array, outputBytes: number): Uint8Array | undefined {
  try {
    return zstd.decompress(frame, outputBytes);
  } catch (error) {
    if (!(error instanceof PageError)) throw error;
    expect(error.code).toBe("zstd-malformed");
    return undefined;
  }
}

/** Pages of which some are zero, some the same. */
function machine(random: Random): Uint8Array {
  const memory = random.memoryLike(PAGE_COUNT * PAGE_BYTES);
  for (let page = 0; page < 6; page++) {
    const [to, from] = [random.below(PAGE_COUNT), random.below(PAGE_COUNT)];
    if (page < 3) memory.fill(0, to * PAGE_BYTES, (to + 1) * PAGE_BYTES);
    else memory.copyWithin(to * PAGE_BYTES, from * PAGE_BYTES, (from + 1) * PAGE_BYTES);
  }
  return memory;
}

/** Changes some pages so that each class has its turn. */
function change(memory: Uint8Array, random: Random): void {
  for (let changes = 3 + random.below(10); changes > 0; changes--) {
    const at = random.below(PAGE_COUNT) * PAGE_BYTES;
    const page = memory.subarray(at, at + PAGE_BYTES);
    switch (random.below(6)) {
      case 0:
        page.fill(0);
        break;
      case 1:
        page.fill(random.below(256));
        break;
      case 2:
        memory.copyWithin(at, random.below(PAGE_COUNT) * PAGE_BYTES, at);
        break;
      case 3:
        page.set(random.memoryLike(PAGE_BYTES));
        break;
      default:
        random.change(page, 1 + random.below(3), 10);
    }
  }
}

describe.each(builds)(`mutated batches from seed ${SEED}, $name build`, ({ create }) => {
  const kernels = create();
  const { arena, lz4 } = kernels;
  const room = arena.allocate(64 << 10);
  const packed = arena.allocate(lz4Bound(64 << 10));
  const state = lz4.state();

  /** The block in the codec, or in none where that does not make it smaller. */
  function pack(header: BatchHeader, block: Uint8Array): Uint8Array {
    let bytes = block;
    if (header.codec === "zstd") bytes = zstd.compress(block, 1);
    if (header.codec === "lz4") {
      room.bytes.set(block);
      bytes = packed.bytes.slice(0, lz4.compress(room, block.length, packed, state));
    }
    return bytes.length < block.length ? encodeBatch(header, bytes) : encodeBatch({ ...header, codec: "none" }, block);
  }

  /** The batch's block as it is before compression. */
  function unpack(batch: Uint8Array): Uint8Array {
    const { codec, residualBytes, indexBytes } = decodeBatchHeader(batch);
    const bytes = batch.subarray(BATCH_HEADER_BYTES);
    const blockBytes = residualBytes + indexBytes;
    if (codec === "none") return bytes;
    if (codec === "zstd") return zstd.decompress(bytes, blockBytes);
    packed.bytes.set(bytes);
    lz4.decompress(packed, bytes.length, room, blockBytes);
    return room.bytes.slice(0, blockBytes);
  }

  /** The batch changed outside or, under a header and a codec that are right, inside. */
  function mutate(batch: Uint8Array, random: Random): Uint8Array {
    const kind = random.below(8);
    if (kind === 0) return random.mutate(batch);
    if (kind === 1) {
      const header = random.mutate(batch.subarray(0, BATCH_HEADER_BYTES));
      return Buffer.concat([header, batch.subarray(BATCH_HEADER_BYTES)]);
    }
    const header = decodeBatchHeader(batch);
    const block = unpack(batch);
    let residual = block.subarray(0, header.residualBytes);
    let index = block.subarray(header.residualBytes);
    let runCount = header.runCount;
    if (kind === 2) {
      residual = random.mutate(residual);
    } else if (kind === 3) {
      // Of the same length, so that the deltas' own checks are reached.
      residual = residual.slice();
      for (let edits = 1 + random.below(4); edits > 0; edits--) {
        residual[random.below(Math.min(residual.length, 40))] = random.below(random.below(2) === 0 ? 256 : 8);
      }
    } else if (kind === 4) {
      index = random.mutate(index);
    } else {
      index = index.slice();
      const at = random.below(index.length);
      index[at] = (index[at] as number) ^ (1 << random.below(8));
    }
    if (random.below(16) === 0) runCount += random.below(5) - 2;
    const lengths = { residualBytes: residual.length, indexBytes: index.length, runCount: Math.max(0, runCount) };
    return pack({ ...header, ...lengths }, Buffer.concat([residual, index]));
  }

  it.each([
    ["the store's pages", 0],
    ["a cache", CACHE_BYTES],
  ])(`${CASES} over %s are decoded as the twin decodes them, or refused`, (_, cacheBytes) => {
    const random = new Random(SEED + cacheBytes);
    const store = new (cacheBytes === 0 ? TestStore : WriteOnlyStore)(PAGE_COUNT, PAGE_BYTES);
    const decoding = create();
    const decoder = new PageDecoder(decoding, store, { ...SPACE, cacheBytes }, zstd);
    const wasmBytes = decoding.arena.memory.buffer.byteLength;
    const seen = { zero: 0, fill: 0, dup: 0, delta: 0, novel: 0, none: 0, lz4: 0, zstd: 0 };
    let accepted = 0;
    const options = { ...SPACE, cacheBytes: CACHE_BYTES, batchBytes: 1 << 20, zstdLevel: 1 };
    for (let done = 0; done < CASES; ) {
      const mark = arena.mark();
      const compression = CODECS[random.below(CODECS.length)] as Codec;
      const memory = machine(random);
      const listUnchanged = random.below(2) === 0;
      const encoder = new PageEncoder(kernels, { ...options, compression, listUnchanged }, zstd);
      // Brings store and cache to where every case begins.
      encoder.add(0, memory);
      encoder.flush();
      const reset = encoder.take() as Uint8Array;
      const before = encoder.encoded;
      const after = memory.slice();
      change(after, random);
      encoder.add(0, after);
      encoder.flush();
      const valid = encoder.take();
      for (const name of CLASSES) seen[name] += encoder.encoded[name] - before[name];
      const resetChanges = readBatch(reset, PAGE_COUNT, PAGE_BYTES, decompressZstd) ?? [];
      arena.release(mark);
      if (valid === undefined) continue;
      seen[decodeBatchHeader(valid).codec] += 1;
      const twin = new BatchTwin(PAGE_COUNT, PAGE_BYTES, cacheBytes === 0 ? undefined : PAGE_COUNT);
      for (let index = 0; index < CASES_PER_INPUT; index++, done++) {
        const batch = index === 0 ? valid : mutate(valid, random);
        decoder.decode(reset);
        twin.apply(resetChanges);
        expectSameBytes(store.bytes, memory);
        const changes = readBatch(batch, PAGE_COUNT, PAGE_BYTES, decompressZstd);
        const isValid = changes !== undefined && twin.apply(changes);
        let decoded: number | undefined;
        try {
          decoded = decoder.decode(batch);
        } catch (error) {
          if (!(error instanceof PageError)) throw error;
          if (error.code !== "batch-malformed") expect.fail(`case ${done}: ${error.code}`);
        }
        if (decoded !== (isValid ? changes.length : undefined)) expect.fail(`case ${done}: ${decoded} of ${isValid}`);
        if (isValid) {
          accepted++;
          expectSameBytes(store.bytes, twin.memory);
        } else if (changes === undefined) {
          // What is malformed in itself is found before a page is written.
          expectSameBytes(store.bytes, memory);
        }
        if (index === 0) expectSameBytes(store.bytes, after);
      }
    }
    expect(decoding.arena.memory.buffer.byteLength).toBe(wasmBytes);
    for (const [name, count] of Object.entries(seen)) expect(count, name).toBeGreaterThan(0);
    expect(accepted).toBeGreaterThan(CASES / 20);
    expect(accepted).toBeLessThan((CASES * 19) / 20);
  });
});
