import { readSync } from "node:fs";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { bitmapBytes } from "../../kernel/arena.js";
import { hasBit, setBits } from "../../kernel/bitmap.js";
import { FINGERPRINT_BYTES } from "../../kernel/fingerprint.js";
import { createKernelsSync } from "../../kernel/load.js";

/** What a thread is started with. */
export interface ScanThreadData {
  /** The kernels, compiled. */
  readonly module: WebAssembly.Module;
  readonly seed: string;
  readonly pageBytes: number;
  readonly windowPages: number;
  readonly fingerprints: SharedArrayBuffer;
  readonly log: SharedArrayBuffer;
  /** Each has room for a window's pages and its bitmap behind them. */
  readonly slots: readonly SharedArrayBuffer[];
}

/** A window to scan: its pages lie one after the other in the file, from byte `position` on. */
export interface ScanOrder {
  readonly slot: number;
  readonly file: number;
  readonly position: number;
  readonly byteLength: number;
  readonly firstPage: number;
  readonly pageCount: number;
}

/** What it came to. */
export interface ScanAnswer {
  readonly slot: number;
  readonly dirtyCount: number;
  readonly scanMs: number;
  readonly error?: string;
}

/** Pages that stand nearer to each other than this are read at once. */
const NEAR_PAGES = 8;

const { module, seed, pageBytes, windowPages, ...shared } = workerData as ScanThreadData;
const port = parentPort as MessagePort;
const known = new Uint8Array(shared.fingerprints);
const log = new Uint8Array(shared.log);
const slots = shared.slots.map((slot) => new Uint8Array(slot));

const { arena, fingerprint, bitmap } = createKernelsSync({ source: module });
const secret = fingerprint.secret(BigInt(`0x${seed}`));
const window = arena.allocatePages(windowPages, pageBytes);
const fingerprints = arena.allocate(windowPages * FINGERPRINT_BYTES);
const dirty = arena.allocateBitmap(windowPages);

/** Scans `count` pages from page `start` of the window on; marks what changed in the slot. Returns how many did. */
function scanRun(order: ScanOrder, start: number, count: number): number {
  const pages = window.part(0, count * pageBytes);
  read(order, start * pageBytes, pages.bytes);
  const at = (order.firstPage + start) * FINGERPRINT_BYTES;
  const knownHere = known.subarray(at, at + count * FINGERPRINT_BYTES);
  fingerprints.bytes.set(knownHere);
  const changed = fingerprint.scan(pages, pageBytes, secret, fingerprints, dirty);
  if (changed === 0) return 0;
  knownHere.set(fingerprints.bytes.subarray(0, knownHere.length));
  const slot = slots[order.slot] as Uint8Array;
  const marks = slot.subarray(windowPages * pageBytes);
  for (let from = 0; ; ) {
    const run = bitmap.nextRun(dirty, count, from);
    if (run === undefined) return changed;
    from = run.start + run.length;
    slot.set(pages.bytes.subarray(run.start * pageBytes, from * pageBytes), (start + run.start) * pageBytes);
    setBits(marks, start + run.start, run.length);
  }
}

function read({ file, position, byteLength }: ScanOrder, from: number, into: Uint8Array): void {
  const end = Math.min(into.length, Math.max(0, byteLength - from));
  let done = 0;
  while (done < end) {
    const count = readSync(file, into, done, end - done, position + from + done);
    if (count === 0) break;
    done += count;
  }
  into.fill(0, done);
}

function scan(order: ScanOrder): number {
  const { firstPage, pageCount } = order;
  (slots[order.slot] as Uint8Array).fill(
    0,
    windowPages * pageBytes,
    windowPages * pageBytes + bitmapBytes(windowPages),
  );
  let changed = 0;
  for (let page = 0; page < pageCount; ) {
    if (!hasBit(log, firstPage + page)) {
      page += 1;
      continue;
    }
    const start = page;
    let last = page;
    for (; page < pageCount && page <= last + NEAR_PAGES; page++) if (hasBit(log, firstPage + page)) last = page;
    changed += scanRun(order, start, last + 1 - start);
    page = last + 1;
  }
  return changed;
}

port.on("message", (order: ScanOrder) => {
  const startMs = performance.now();
  let answer: ScanAnswer;
  try {
    const dirtyCount = scan(order);
    answer = { slot: order.slot, dirtyCount, scanMs: performance.now() - startMs };
  } catch (error) {
    answer = { slot: order.slot, dirtyCount: 0, scanMs: 0, error: (error as Error).message };
  }
  port.postMessage(answer);
});
