import type { Guest } from "../guest/guest.js";
import { bitmapBytes } from "../kernel/arena.js";
import { hasBit } from "../kernel/bitmap.js";
import { createPageEncoder } from "../page/create.js";
import type { MemoryLayout } from "./layout.js";

/** Pages that are looked at. */
const SAMPLE_PAGES = 4096;
const BETWEEN_MS = 125;

/** How a machine writes to its memory, by a look at a part of it. */
export interface DirtySample {
  readonly allocatedPages: number;
  readonly dirtyPagesPerSecond: number;
  readonly workingSetPages: number;
  readonly bytesPerDirtyPage: number;
}

/**
 * Looks three times at a random sample of the pages in use. What has changed at the second and at the third look tells how fast pages are dirtied and
 * out of how many: of w pages of which d are written a second, w × (1 − e^(−d t / w)) have changed after t seconds.
 */
export async function sampleDirtyRate(
  guest: Guest,
  layout: MemoryLayout,
  wait: () => Promise<void> = () => new Promise((resolve) => setTimeout(resolve, BETWEEN_MS)),
): Promise<DirtySample> {
  const { pageBytes } = layout;
  const allocated = allocatedPages(guest, layout);
  const pages = sampleOf(allocated, SAMPLE_PAGES);
  const first = readAll(guest, pages, pageBytes);
  const startMs = performance.now();
  await wait();
  const middle = changedIn(guest, pages, first, pageBytes);
  const middleMs = Math.max(performance.now() - startMs, 1);
  await wait();
  const changed = changedIn(guest, pages, first, pageBytes);
  const spanMs = Math.max(performance.now() - startMs, middleMs + 1);
  const scale = pages.length === 0 ? 0 : allocated.length / pages.length;
  const bytesPerDirtyPage = await deltaBytes(guest, pages, first, changed, pageBytes);
  return {
    allocatedPages: allocated.length,
    ...fit(middle.length * scale, middleMs, changed.length * scale, spanMs, allocated.length),
    bytesPerDirtyPage,
  };
}

/** Rate and working set from how many pages had changed after two times, the second one later. */
function fit(
  middle: number,
  middleMs: number,
  changed: number,
  spanMs: number,
  allocated: number,
): Pick<DirtySample, "dirtyPagesPerSecond" | "workingSetPages"> {
  const linear = (changed / spanMs) * 1000;
  if (changed === 0) return { dirtyPagesPerSecond: 0, workingSetPages: 0 };
  // Where the growth does not slow down there is no sign of a working set.
  const slowdown = (changed - middle) / Math.max(changed, 1);
  const evenShare = 1 - middleMs / spanMs;
  if (slowdown >= 0.9 * evenShare) return { dirtyPagesPerSecond: linear, workingSetPages: allocated };
  // With both spans alike, changed = middle × (1 + q) and q = e^(−d t / w) is how much of the working set a span leaves alone.
  const q = Math.min(0.99, Math.max(0.01, (changed - middle) / Math.max(middle, 1)));
  const workingSetPages = Math.min(allocated, middle / (1 - q));
  return { dirtyPagesPerSecond: (-Math.log(q) * workingSetPages * 1000) / middleMs, workingSetPages };
}

function allocatedPages(guest: Guest, { memoryPages }: MemoryLayout): Uint32Array {
  const bitmap = new Uint8Array(bitmapBytes(memoryPages));
  if (guest.markAllocatedPages === undefined) bitmap.fill(0xff);
  else guest.markAllocatedPages(bitmap);
  const pages = new Uint32Array(memoryPages);
  let count = 0;
  for (let page = 0; page < memoryPages; page++) if (hasBit(bitmap, page)) pages[count++] = page;
  return pages.subarray(0, count);
}

/** At most so many of them, each equally likely, in ascending order. */
function sampleOf(pages: Uint32Array, count: number): Uint32Array {
  if (pages.length <= count) return pages;
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(pages[Math.floor(Math.random() * pages.length)] as number);
  return Uint32Array.from(chosen).sort();
}

function readAll(guest: Guest, pages: Uint32Array, pageBytes: number): Uint8Array {
  const bytes = new Uint8Array(pages.length * pageBytes);
  pages.forEach((page, at) => {
    guest.readPages(page, bytes.subarray(at * pageBytes, (at + 1) * pageBytes));
  });
  return bytes;
}

/** Which of the pages are not what they were, by their places in the sample. */
function changedIn(guest: Guest, pages: Uint32Array, before: Uint8Array, pageBytes: number): number[] {
  const now = new Int32Array(pageBytes / 4);
  const then = new Int32Array(before.buffer);
  const changed: number[] = [];
  pages.forEach((page, at) => {
    guest.readPages(page, new Uint8Array(now.buffer));
    const start = (at * pageBytes) / 4;
    if (now.some((word, index) => word !== then[start + index])) changed.push(at);
  });
  return changed;
}

/** What a changed page takes on the wire, made as a delta together with the others. */
async function deltaBytes(
  guest: Guest,
  pages: Uint32Array,
  before: Uint8Array,
  changed: readonly number[],
  pageBytes: number,
): Promise<number> {
  if (changed.length === 0) return 0;
  const encoder = await createPageEncoder({ pageBytes, pageCount: pages.length, cacheBytes: before.length });
  const page = new Uint8Array(pageBytes);
  for (const at of changed) encoder.hold(at, before.subarray(at * pageBytes, (at + 1) * pageBytes));
  for (const at of changed) {
    guest.readPages(pages[at] as number, page);
    encoder.add(at, page);
  }
  encoder.flush();
  return encoder.encoded.encodedBytes / changed.length;
}
