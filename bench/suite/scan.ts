import { createXXHash128 } from "hash-wasm";
import type { Kernels } from "pageferry";
import xxhash from "xxhash-wasm";
import { blocksOf, fillWithBinary, PAGE_BYTES, PAGE_COUNT, REGION_BYTES, REGION_NAME } from "../input.js";
import { type Row, type Target, visitEach } from "../measure.js";

/** How users without kernels find changed pages: Node's native compare, page by page. */
function bufferCompare(left: Uint8Array, right: Uint8Array): Target {
  const one = Buffer.from(left.buffer, left.byteOffset, left.byteLength);
  const other = Buffer.from(right.buffer, right.byteOffset, right.byteLength);
  return {
    bytes: left.byteLength,
    run() {
      for (let at = 0; at < one.length; at += PAGE_BYTES) {
        if (one.compare(other, at, at + PAGE_BYTES, at, at + PAGE_BYTES) !== 0) throw new Error("clean pages differ");
      }
    },
  };
}

export async function* scanRows({ arena, scan, fingerprint }: Kernels): AsyncGenerator<Row> {
  const [left, right] = [arena.allocatePages(PAGE_COUNT, PAGE_BYTES), arena.allocatePages(PAGE_COUNT, PAGE_BYTES)];
  const bitmap = arena.allocateBitmap(PAGE_COUNT);
  const fingerprints = arena.allocate(PAGE_COUNT * 16);
  const secret = fingerprint.secret(1n);
  const input = `${REGION_NAME}, pages clean`;
  fillWithBinary(left.bytes);
  right.bytes.set(left.bytes);
  fingerprint.pages(left, PAGE_BYTES, secret, fingerprints);

  const clean = (count: number): void => {
    if (count !== 0) throw new Error("clean pages differ");
  };
  yield {
    name: "scan/compare",
    input,
    kernel: { bytes: REGION_BYTES, run: () => clean(scan.compare(left, right, PAGE_BYTES, bitmap)) },
    peers: { "Buffer.compare": bufferCompare(left.bytes, right.bytes) },
  };

  const { h64Raw } = await xxhash();
  const xxh128 = await createXXHash128();
  const pages = blocksOf(left.bytes, PAGE_BYTES);
  yield {
    name: "scan/fingerprint",
    input,
    kernel: {
      bytes: REGION_BYTES,
      run: () => clean(fingerprint.scan(left, PAGE_BYTES, secret, fingerprints, bitmap)),
    },
    peers: {
      "Buffer.compare": bufferCompare(left.bytes, right.bytes),
      "xxhash-wasm h64Raw": visitEach(REGION_BYTES, pages, (page) => h64Raw(page)),
      "hash-wasm XXH128": visitEach(REGION_BYTES, pages, (page) => xxh128.init().update(page).digest("binary")),
    },
  };

  left.bytes.fill(0);
  yield {
    name: "scan/zero",
    input: `${REGION_BYTES >> 20} MiB of zero pages`,
    kernel: {
      bytes: REGION_BYTES,
      run() {
        if (scan.zero(left, PAGE_BYTES, bitmap) !== PAGE_COUNT) throw new Error("a zero page was missed");
      },
    },
    peers: { memcpy: { bytes: REGION_BYTES, run: () => right.bytes.set(left.bytes) } },
  };
}
