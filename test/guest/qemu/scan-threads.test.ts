import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { AllocatedPages } from "../../../dist/guest/qemu/allocated.js";
import { Ram } from "../../../dist/guest/qemu/ram.js";
import { RamScanThreads } from "../../../dist/guest/qemu/scan-threads.js";
import { hasBit } from "../../../src/kernel/bitmap.js";
import { createKernels } from "../../../src/kernel/load.js";
import { Random } from "../../support/random.js";

const PAGE_BYTES = 4096;
const WINDOW_PAGES = 64;
const SEED = "00112233445566ff";
/** Pages of the two files; the second one's last page is a part of one. */
const [FIRST, SECOND] = [150, 77];
const folder = mkdtempSync(join(tmpdir(), "pageferry-"));
afterAll(() => rmSync(folder, { recursive: true }));

const { arena, fingerprint } = await createKernels();
const secret = fingerprint.secret(BigInt(`0x${SEED}`));
const onePage = arena.allocatePages(1, PAGE_BYTES);
const oneFingerprint = arena.allocate(16);

function fingerprintOf(page: Uint8Array): Uint8Array {
  onePage.bytes.set(page);
  fingerprint.pages(onePage, PAGE_BYTES, secret, oneFingerprint);
  return oneFingerprint.bytes.slice();
}

const paths = [join(folder, "low"), join(folder, "high")] as const;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function openRam(memory: readonly [Uint8Array, Uint8Array]): Ram {
  memory.forEach((bytes, index) => {
    writeFileSync(paths[index] as string, bytes);
  });
  const files = memory.map(({ length }, index) => ({
    name: `${index}`,
    byteLength: length,
    path: paths[index] as string,
  }));
  const ram = Ram.open(files, PAGE_BYTES, "write");
  cleanups.push(() => ram.close());
  return ram;
}

function memoryOf(random: Random): [Uint8Array, Uint8Array] {
  return [random.memoryLike(FIRST * PAGE_BYTES), random.memoryLike(SECOND * PAGE_BYTES - 100)];
}

async function threadsOf(ram: Ram): Promise<RamScanThreads> {
  const threads = await RamScanThreads.start(ram, SEED, WINDOW_PAGES);
  cleanups.push(() => threads.close());
  return threads;
}

describe("threads that scan RAM files", () => {
  it("find the pages that plain fingerprints show, give their content and bring the fingerprints up to date", async () => {
    const random = new Random(5);
    const memory = memoryOf(random);
    const ram = openRam(memory);
    const threads = await threadsOf(ram);
    expect(ram.pageCount).toBe(FIRST + SECOND);
    const pageOf = (page: number): Uint8Array => {
      const into = new Uint8Array(PAGE_BYTES);
      ram.readPages(page, into);
      return into;
    };
    for (let round = 0; round < 4; round++) {
      // Some pages are passed over: nothing is known of those.
      threads.log.fill(0);
      for (let page = 0; page < ram.pageCount; page++) {
        if (random.below(4) > 0) threads.log[page >> 3] = (threads.log[page >> 3] as number) | (1 << (page & 7));
      }
      const before = threads.fingerprints.slice();
      for (const [start, end] of [
        [0, FIRST],
        [FIRST, FIRST + SECOND],
      ] as const) {
        for (let first = start; first < end; first += WINDOW_PAGES) {
          const count = Math.min(WINDOW_PAGES, end - first);
          const { pages, dirty, dirtyCount, release } = await threads.scan(first, count);
          let expected = 0;
          for (let at = 0; at < count; at++) {
            const page = first + at;
            const now = fingerprintOf(pageOf(page));
            const known = before.subarray(page * 16, page * 16 + 16);
            const isDirty = Buffer.compare(now, known) !== 0;
            const isNear = hasBit(dirty, at);
            if (hasBit(threads.log, page)) expect(isNear, `page ${page}`).toBe(isDirty);
            if (!isNear) continue;
            expected += 1;
            expect(Buffer.compare(pages.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES), pageOf(page))).toBe(0);
            expect(Buffer.compare(threads.fingerprints.subarray(page * 16, page * 16 + 16), now)).toBe(0);
          }
          expect(dirtyCount).toBe(expected);
          release();
        }
      }
      for (let writes = 0; writes < 20; writes++) {
        const page = random.below(FIRST + SECOND - 1);
        ram.writePages(page, random.bytes(PAGE_BYTES));
      }
    }
  });

  it("say so where the file has become shorter than the memory: it reads as zeros", async () => {
    const ram = openRam(memoryOf(new Random(1)));
    const threads = await threadsOf(ram);
    threads.log.fill(0xff);
    truncateSync(paths[0], 10 * PAGE_BYTES);
    const { pages, release } = await threads.scan(0, WINDOW_PAGES);
    expect(pages.subarray(10 * PAGE_BYTES, 11 * PAGE_BYTES).every((byte) => byte === 0)).toBe(true);
    release();
  });

  it("reject what is under way when they are ended, and what comes later", async () => {
    const threads = await threadsOf(openRam(memoryOf(new Random(2))));
    const scanning = threads.scan(0, WINDOW_PAGES);
    const closing = threads.close();
    await expect(scanning).rejects.toMatchObject({ code: "argument" });
    await closing;
    await expect(threads.scan(0, WINDOW_PAGES)).rejects.toMatchObject({ code: "argument" });
  });
});

describe("RAM files", () => {
  it("are read and written as pages through all of them; nothing is written behind an end", () => {
    const random = new Random(3);
    const memory = memoryOf(random);
    const ram = openRam(memory);
    const page = new Uint8Array(2 * PAGE_BYTES);
    ram.readPages(FIRST - 2, page);
    expect(Buffer.compare(page, memory[0].subarray((FIRST - 2) * PAGE_BYTES))).toBe(0);
    ram.readPages(FIRST, page);
    expect(Buffer.compare(page, memory[1].subarray(0, 2 * PAGE_BYTES))).toBe(0);
    ram.writePages(FIRST + SECOND - 2, random.bytes(2 * PAGE_BYTES));
    ram.readPages(FIRST + SECOND - 2, page);
    expect(page.subarray(2 * PAGE_BYTES - 100).every((byte) => byte === 0)).toBe(true);
  });

  it("know whether they were ever written to", () => {
    const ram = openRam([new Uint8Array(0), new Uint8Array(0)]);
    expect(ram.isUntouched).toBe(true);
    expect(openRam(memoryOf(new Random(4))).isUntouched).toBe(false);
  });

  it("that no process has mapped may hold anything anywhere", () => {
    const ram = openRam(memoryOf(new Random(6)));
    const bitmap = new Uint8Array(Math.ceil(ram.pageCount / 8));
    new AllocatedPages(ram).mark(bitmap);
    expect(bitmap.every((byte) => byte === 0xff)).toBe(true);
  });
});
