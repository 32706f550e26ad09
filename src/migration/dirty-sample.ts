import type { Guest } from "../guest/guest.js";
import { nextTurn } from "../guest/turn.js";
import { bitmapBytes } from "../kernel/arena.js";
import { nextSetBit } from "../kernel/bitmap.js";
import { createPageEncoder } from "../page/create.js";
import type { MemoryLayout } from "./layout.js";

/** Pages that are looked at. */
const SAMPLE_PAGES = 4096;
/** From one look to the next. */
const BETWEEN_MS = 125;
/** So many pages are read before others on this thread get their turn. */
const TURN_PAGES = 256;
/** Where the second half of the time brought so much of what the first one did, there is no sign of a working set. */
const UNLIMITED_SHARE = 0.8;
/** A working set of which less was left alone was written whole many times over: how many times cannot be seen. */
const LEAST_LEFT_ALONE = 0.01;

/** How a machine writes to its memory, by a look at a part of it. */
export interface DirtySample {
  readonly sampledPages: number;
  /** Pages that can hold something but zeros. */
  readonly allocatedPages: number;
  readonly dirtyPagesPerSecond: number;
  /** The pages that are written again and again, as far as could be seen. */
  readonly workingSetPages: number;
  /** On the wire, of a page that was changed. */
  readonly bytesPerDirtyPage: number;
}

/** What a sample depends on besides the machine. */
export interface SampleSurroundings {
  nowMs(): number;
  wait(durationMs: number): Promise<void>;
  /** From 0 to below 1. */
  random(): number;
}

const REAL: SampleSurroundings = {
  nowMs: () => performance.now(),
  wait: (durationMs) => new Promise((resolve) => setTimeout(resolve, durationMs)),
  random: Math.random,
};

/**
 * Looks three times at a random sample of the pages in use. What has changed at the second and at the third look tells how fast pages are dirtied and
 * out of how many.
 */
export async function sampleDirtyRate(
  guest: Guest,
  layout: MemoryLayout,
  { nowMs, wait, random }: SampleSurroundings = REAL,
): Promise<DirtySample> {
  const allocated = allocatedPages(guest, layout);
  const sample = new Sample(guest, draw(allocated, SAMPLE_PAGES, random));
  // Each look takes the pages in the same order: from one look at a page to the next it is as long as from start to start.
  const startMs = nowMs();
  await sample.remember();
  await wait(BETWEEN_MS);
  const middleMs = nowMs() - startMs;
  const middle = (await sample.findChanged()).length;
  await wait(BETWEEN_MS);
  const endMs = nowMs() - startMs;
  const changed = await sample.findChanged();
  const growth = growthOf(middle, middleMs, changed.length, endMs);
  const scale = allocated.length / Math.max(sample.pageCount, 1);
  return {
    sampledPages: sample.pageCount,
    allocatedPages: allocated.length,
    dirtyPagesPerSecond: growth.pagesPerSecond * scale,
    workingSetPages: Math.min(allocated.length, growth.workingSetPages * scale),
    bytesPerDirtyPage: await sample.deltaBytes(changed),
  };
}

/**
 * How fast pages were dirtied, and out of how many, if so many had changed after `middleMs` and after `endMs`. Of w pages of which d are written a
 * second, w × (1 − e^(−d t / w)) have changed after t seconds.
 */
export function growthOf(
  middle: number,
  middleMs: number,
  end: number,
  endMs: number,
): { readonly pagesPerSecond: number; readonly workingSetPages: number } {
  if (end === 0) return { pagesPerSecond: 0, workingSetPages: 0 };
  // As if both halves were as long as the first.
  const second = (Math.max(0, end - middle) * middleMs) / Math.max(endMs - middleMs, 1);
  if (second >= UNLIMITED_SHARE * middle) {
    return { pagesPerSecond: (end / Math.max(endMs, 1)) * 1000, workingSetPages: Number.POSITIVE_INFINITY };
  }
  // e^(−d t / w): the share of the working set that a half leaves alone.
  const leftAlone = Math.max(LEAST_LEFT_ALONE, second / middle);
  const workingSetPages = middle / (1 - leftAlone);
  const pagesPerSecond = (-Math.log(leftAlone) * workingSetPages * 1000) / Math.max(middleMs, 1);
  return { pagesPerSecond, workingSetPages };
}

/** Some pages of a guest, as they were and as they are. */
class Sample {
  readonly #guest: Guest;
  readonly #pages: Uint32Array;
  readonly #pageBytes: number;
  readonly #before: Uint8Array;
  readonly #page: Uint8Array;

  constructor(guest: Guest, pages: Uint32Array) {
    const { pageBytes } = guest.machine;
    this.#guest = guest;
    this.#pages = pages;
    this.#pageBytes = pageBytes;
    this.#before = new Uint8Array(pages.length * pageBytes);
    this.#page = new Uint8Array(pageBytes);
  }

  get pageCount(): number {
    return this.#pages.length;
  }

  async remember(): Promise<void> {
    await this.#look((at) => this.#guest.readPages(this.#pages[at] as number, this.#pageBefore(at)));
  }

  /** Which of the pages are not what they were, by their places in the sample. */
  async findChanged(): Promise<number[]> {
    const before = new Int32Array(this.#before.buffer);
    const page = new Int32Array(this.#page.buffer);
    const changed: number[] = [];
    await this.#look((at) => {
      this.#guest.readPages(this.#pages[at] as number, this.#page);
      const first = at * page.length;
      let word = 0;
      while (word < page.length && page[word] === before[first + word]) word += 1;
      if (word < page.length) changed.push(at);
    });
    return changed;
  }

  /** What a changed page takes on the wire, made as a delta together with the others; 0 where none has changed. */
  async deltaBytes(changed: readonly number[]): Promise<number> {
    if (changed.length === 0) return 0;
    const space = { pageBytes: this.#pageBytes, pageCount: this.#pages.length, cacheBytes: this.#before.length };
    const encoder = await createPageEncoder(space);
    for (const at of changed) encoder.hold(at, this.#pageBefore(at));
    for (const at of changed) {
      this.#guest.readPages(this.#pages[at] as number, this.#page);
      encoder.add(at, this.#page);
    }
    encoder.flush();
    return encoder.encoded.encodedBytes / changed.length;
  }

  async #look(visit: (at: number) => void): Promise<void> {
    for (let at = 0; at < this.#pages.length; at++) {
      visit(at);
      if (at % TURN_PAGES === TURN_PAGES - 1) await nextTurn();
    }
  }

  #pageBefore(at: number): Uint8Array {
    return this.#before.subarray(at * this.#pageBytes, (at + 1) * this.#pageBytes);
  }
}

/** The pages of a guest that can hold something, ascending; all where it does not tell. */
export function allocatedPages(guest: Guest, { memoryPages }: MemoryLayout): Uint32Array {
  const bitmap = new Uint8Array(bitmapBytes(memoryPages));
  if (guest.markAllocatedPages === undefined) bitmap.fill(0xff);
  else guest.markAllocatedPages(bitmap);
  const pages = new Uint32Array(memoryPages);
  let count = 0;
  for (let page = nextSetBit(bitmap, memoryPages, 0); page < memoryPages; ) {
    pages[count++] = page;
    page = nextSetBit(bitmap, memoryPages, page + 1);
  }
  return pages.subarray(0, count);
}

/** At most so many of the pages, each equally likely, in ascending order. */
export function draw(pages: Uint32Array, most: number, random: () => number): Uint32Array {
  if (pages.length <= most) return pages;
  for (let at = 0; at < most; at++) {
    const other = at + Math.floor(random() * (pages.length - at));
    [pages[at], pages[other]] = [pages[other] as number, pages[at] as number];
  }
  return pages.slice(0, most).sort();
}
