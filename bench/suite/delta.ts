import { DELTA_OVERFLOW, type Kernels, type Span } from "pageferry";
import { Lz4Wasm } from "../../test/support/lz4-wasm.js";
import { decode as decodeTwin, encode as encodeTwin } from "../../test/twin/xbzrle.js";
import { changePages, fillWithBinary, PAGE_BYTES, PAGE_COUNT, REGION_BYTES, REGION_NAME } from "../input.js";
import type { Row, Target } from "../measure.js";

/** Pages of one batch. */
const BATCH_PAGES = 256;

function eachPage(visit: (page: number) => void): Target {
  return {
    bytes: REGION_BYTES,
    run() {
      for (let page = 0; page < PAGE_COUNT; page++) visit(page);
    },
  };
}

function eachBatch(visit: (firstPage: number) => void): Target {
  return {
    bytes: REGION_BYTES,
    run() {
      for (let first = 0; first < PAGE_COUNT; first += BATCH_PAGES) visit(first);
    },
  };
}

function pageOf(region: Span, page: number): Uint8Array {
  return region.bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
}

export async function* deltaRows({ arena, delta, scan }: Kernels): AsyncGenerator<Row> {
  const [before, after] = [arena.allocatePages(PAGE_COUNT, PAGE_BYTES), arena.allocatePages(PAGE_COUNT, PAGE_BYTES)];
  const clean = arena.allocatePages(PAGE_COUNT, PAGE_BYTES);
  const bitmap = arena.allocateBitmap(PAGE_COUNT);
  const numbers = arena.allocate(PAGE_COUNT * 4);
  const lengths = arena.allocate(PAGE_COUNT * 4);
  const stream = arena.allocate(BATCH_PAGES * PAGE_BYTES);
  numbers.u32.forEach((_, page) => {
    numbers.u32[page] = page;
  });
  const numbersOf = Array.from({ length: PAGE_COUNT / BATCH_PAGES }, (_, batch) =>
    arena.spanOf(numbers.bytes.subarray(batch * BATCH_PAGES * 4, (batch + 1) * BATCH_PAGES * 4)),
  );
  const lz4Wasm = await Lz4Wasm.load();
  const out = new Uint8Array(PAGE_BYTES);
  fillWithBinary(before.bytes);
  clean.bytes.set(before.bytes);

  for (const [runs, runBytes, pattern] of [
    [8, 1, "8 scattered bytes changed"],
    [20, 32, "20 runs of 32 bytes changed"],
  ] as const) {
    const input = `${REGION_NAME}, in each page ${pattern}`;
    after.bytes.set(before.bytes);
    changePages(after.bytes, runs, runBytes);

    const encodeBatch = (first: number): number => {
      const list = numbersOf[first / BATCH_PAGES] as Span;
      const [from, to] = [
        { pages: before, numbers: list },
        { pages: after, numbers: list },
      ];
      return delta.encodeList(from, to, BATCH_PAGES, PAGE_BYTES, lengths, stream);
    };
    let outputBytes = 0;
    for (let first = 0; first < PAGE_COUNT; first += BATCH_PAGES) outputBytes += encodeBatch(first);
    yield {
      name: "delta/encode",
      input,
      outputBytes,
      kernel: eachBatch(encodeBatch),
      peers: {
        "plain twin": eachPage((page) => {
          if (encodeTwin(pageOf(before, page), pageOf(after, page), out) === DELTA_OVERFLOW)
            throw new Error("overflow");
        }),
        "lz4-wasm": eachPage((page) => lz4Wasm.compress(pageOf(after, page))),
        "scan/compare (clean pages)": {
          bytes: REGION_BYTES,
          run: () => void scan.compare(before, clean, PAGE_BYTES, bitmap),
        },
      },
    };

    // Applying a delta twice changes nothing, so one batch's deltas serve all rounds.
    const mark = arena.mark();
    const batches: [number, Span, Span][] = [];
    for (let first = 0; first < PAGE_COUNT; first += BATCH_PAGES) {
      const bytes = encodeBatch(first);
      const [payloads, sizes] = [arena.allocate(bytes), arena.allocate(BATCH_PAGES * 4)];
      payloads.bytes.set(stream.bytes.subarray(0, bytes));
      sizes.u32.set(lengths.u32.subarray(0, BATCH_PAGES));
      batches.push([bytes, payloads, sizes]);
    }
    const payloadOf = Array.from({ length: PAGE_COUNT }, (_, page) => {
      const length = encodeTwin(pageOf(before, page), pageOf(after, page), out);
      return out.slice(0, length);
    });
    const blockOf = Array.from({ length: PAGE_COUNT }, (_, page) => lz4Wasm.compress(pageOf(after, page)).slice());
    yield {
      name: "delta/decode",
      input,
      kernel: eachBatch((first) => {
        const [bytes, payloads, sizes] = batches[first / BATCH_PAGES] as [number, Span, Span];
        const target = { pages: clean, numbers: numbersOf[first / BATCH_PAGES] as Span };
        delta.decodeList(payloads, bytes, sizes, target, BATCH_PAGES, PAGE_BYTES);
      }),
      peers: {
        "plain twin": eachPage((page) => void decodeTwin(payloadOf[page] as Uint8Array, pageOf(before, page))),
        "lz4-wasm": eachPage((page) => lz4Wasm.decompress(blockOf[page] as Uint8Array, PAGE_BYTES)),
      },
    };
    clean.bytes.set(before.bytes);
    arena.release(mark);
  }
}
