import { decompress as decompressLz4 } from "./lz4.js";
import { decode as decodeDelta } from "./xbzrle.js";

/** Batches of pages, read page by page as src/wire/batch.ts draws them: the plain twin of the decoder. */

const MAX_PAGES = 16384;
const MAX_RESIDUAL_BYTES = 8 << 20;
const MAX_INDEX_BYTES = MAX_PAGES * 18;
const MAX_VARINT_BYTES = 5;

/** What a batch does to one page. */
export type PageChange =
  | { readonly kind: "fill"; readonly page: number; readonly word: Uint8Array }
  | { readonly kind: "dup"; readonly page: number; readonly source: number }
  | { readonly kind: "delta"; readonly page: number; readonly payload: Uint8Array }
  | { readonly kind: "novel" | "passing"; readonly page: number; readonly bytes: Uint8Array }
  | { readonly kind: "same"; readonly page: number };

/** The content of a zstd frame that holds so many bytes, or undefined. */
export type DecompressZstd = (frame: Uint8Array, outputBytes: number) => Uint8Array | undefined;

/** The changes of a batch in their order, or undefined where it is malformed in itself. */
export function readBatch(
  batch: Uint8Array,
  pageCount: number,
  pageBytes: number,
  decompressZstd: DecompressZstd,
): PageChange[] | undefined {
  if (batch.length < 16) return undefined;
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const codec = view.getUint32(0, true);
  const [runs, residualBytes, indexBytes] = [4, 8, 12].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
  ];
  if (runs > MAX_PAGES || residualBytes > MAX_RESIDUAL_BYTES || indexBytes > MAX_INDEX_BYTES) return undefined;
  const block = decompress(codec, batch.subarray(16), residualBytes + indexBytes, decompressZstd);
  if (block === undefined) return undefined;
  return readRuns(block.subarray(0, residualBytes), block.subarray(residualBytes), runs, pageCount, pageBytes);
}

function decompress(
  codec: number,
  packed: Uint8Array,
  blockBytes: number,
  decompressZstd: DecompressZstd,
): Uint8Array | undefined {
  if (codec === 1) return packed.length === blockBytes ? packed : undefined;
  if (packed.length >= blockBytes) return undefined;
  if (codec === 2) return decompressLz4(packed, blockBytes);
  return codec === 3 ? decompressZstd(packed, blockBytes) : undefined;
}

function readRuns(
  residual: Uint8Array,
  index: Uint8Array,
  runs: number,
  pageCount: number,
  pageBytes: number,
): PageChange[] | undefined {
  const changes: PageChange[] = [];
  let at = 0;
  let used = 0;
  let end = 0;
  const number = (): number => {
    const start = at;
    let value = 0;
    for (;;) {
      const byte = index[at];
      if (byte === undefined || at - start === MAX_VARINT_BYTES) return Number.NaN;
      value += (byte & 0x7f) * 128 ** (at - start);
      at += 1;
      if (byte < 0x80) return value;
    }
  };
  const takeResidual = (length: number): Uint8Array => {
    used += length;
    return residual.subarray(used - length, used);
  };
  for (let run = 0; run < runs; run++) {
    const first = (end + number()) % 2 ** 32;
    const head = number();
    const length = Math.floor(head / 8);
    end = first + length;
    if (!(length >= 1 && end <= pageCount && changes.length + length <= MAX_PAGES)) return undefined;
    const pages = Array.from({ length }, (_, offset) => first + offset);
    switch (head % 8) {
      case 1:
        for (const page of pages) changes.push({ kind: "fill", page, word: new Uint8Array(8) });
        break;
      case 2: {
        const word = index.subarray(at, at + 8);
        at += 8;
        for (const page of pages) changes.push({ kind: "fill", page, word });
        break;
      }
      case 3: {
        const zigzag = number();
        const distance = zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
        const source = first + distance;
        if (!(source >= 0 && source + length <= pageCount && Math.abs(distance) >= length)) return undefined;
        for (const [offset, page] of pages.entries()) changes.push({ kind: "dup", page, source: source + offset });
        break;
      }
      case 4:
        for (const page of pages) {
          const payloadBytes = number();
          if (!(payloadBytes >= 1 && payloadBytes <= pageBytes)) return undefined;
          changes.push({ kind: "delta", page, payload: takeResidual(payloadBytes) });
        }
        break;
      case 5:
      case 7: {
        const kind = head % 8 === 5 ? "novel" : "passing";
        for (const page of pages) changes.push({ kind, page, bytes: takeResidual(pageBytes) });
        break;
      }
      case 6:
        for (const page of pages) changes.push({ kind: "same", page });
        break;
      default:
        return undefined;
    }
  }
  return at === index.length && used === residual.length ? changes : undefined;
}

/** Pages of a machine; with slots, deltas and dups are made against a cache with so many, which is as empty as it was left. */
export class BatchTwin {
  readonly memory: Uint8Array;
  readonly #pageBytes: number;
  readonly #slots: number | undefined;
  readonly #cache = new Map<number, { readonly page: number; readonly bytes: Uint8Array }>();

  constructor(pageCount: number, pageBytes: number, slots?: number) {
    this.memory = new Uint8Array(pageCount * pageBytes);
    this.#pageBytes = pageBytes;
    this.#slots = slots;
  }

  /** Applies changes one after the other; false where one of them cannot be applied, and those after it are not. */
  apply(changes: readonly PageChange[]): boolean {
    return changes.every((change) => {
      const bytes = this.#contentOf(change);
      if (bytes === undefined) return false;
      this.memory.set(bytes, change.page * this.#pageBytes);
      if (this.#slots === undefined) return true;
      const slot = change.page % this.#slots;
      if (change.kind !== "fill" && change.kind !== "passing") this.#cache.set(slot, { page: change.page, bytes });
      else if (this.#cache.get(slot)?.page === change.page) this.#cache.delete(slot);
      return true;
    });
  }

  #contentOf(change: PageChange): Uint8Array | undefined {
    switch (change.kind) {
      case "fill": {
        const bytes = new Uint8Array(this.#pageBytes);
        for (let at = 0; at < bytes.length; at += 8) bytes.set(change.word, at);
        return bytes;
      }
      case "dup":
        return this.#old(change.source)?.slice();
      case "delta": {
        const old = this.#old(change.page);
        return old && decodeDelta(change.payload, old);
      }
      case "novel":
      case "passing":
        return change.bytes.slice();
      case "same":
        return this.#old(change.page)?.slice();
    }
  }

  #old(page: number): Uint8Array | undefined {
    if (this.#slots === undefined) return this.memory.subarray(page * this.#pageBytes, (page + 1) * this.#pageBytes);
    const held = this.#cache.get(page % this.#slots);
    return held?.page === page ? held.bytes : undefined;
  }
}
