import { describe, expect, it } from "vitest";
import type { Guest, Machine, MemoryRegion, ScanThreads } from "../../src/guest/guest.js";
import { bitmapBytes } from "../../src/kernel/arena.js";
import { hasBit } from "../../src/kernel/bitmap.js";
import { createKernels } from "../../src/kernel/load.js";
import { zeroFingerprints } from "../../src/migration/fingerprints.js";
import { MemoryLayout, pagesOf } from "../../src/migration/layout.js";
import { DirtyScanner } from "../../src/migration/scanner.js";
import { Random } from "../support/random.js";

const SEED = "0123456789abcdef";
const SCRATCH_BYTES = 128 << 10;

/** How a guest lets its memory be scanned. */
const WAYS = ["copied", "in place", "logged", "allocated", "threads", "threads, allocated"] as const;
type Way = (typeof WAYS)[number];

/** A guest of several regions that stands still and is written to by the test; the rest of a region's last page is zero. */
class StillGuest implements Guest {
  readonly machine: Machine;
  readonly inPlace?: NonNullable<Guest["inPlace"]>;
  readonly takeDirtyPages?: (bitmap: Uint8Array) => void;
  readonly markAllocatedPages?: (bitmap: Uint8Array) => void;
  readonly startScanThreads?: (seed: string, windowPages: number) => Promise<ScanThreads>;
  readonly layout: MemoryLayout;
  readonly #memory: WebAssembly.Memory;
  readonly #logged = new Set<number>();

  constructor(pageBytes: number, regions: readonly MemoryRegion[], way: Way) {
    this.machine = { name: "still", kind: "still", pageBytes, regions, configuration: {} };
    this.layout = new MemoryLayout(this.machine, 0);
    const bytes = this.layout.memoryPages * pageBytes + SCRATCH_BYTES;
    this.#memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) });
    if (way === "in place") {
      this.inPlace = {
        memory: this.#memory,
        scratch: () => ({ byteOffset: this.layout.memoryPages * pageBytes, byteLength: SCRATCH_BYTES }),
        view: (firstPage, pageCount) => this.pages(firstPage, pageCount),
      };
    }
    if (way === "logged") {
      this.takeDirtyPages = (bitmap) => {
        bitmap.fill(0);
        for (const page of this.#logged) setBit(bitmap, page);
        this.#logged.clear();
      };
    }
    if (way.endsWith("allocated")) this.markAllocatedPages = (bitmap) => this.#allocated(bitmap);
    if (way.startsWith("threads")) {
      this.startScanThreads = async (seed, windowPages) => await startPlainThreads(this, seed, windowPages);
    }
  }

  /** A hole: reads as zeros, and is not told to be allocated. */
  punch(page: number): void {
    this.pages(page, 1).fill(0);
  }

  #allocated(bitmap: Uint8Array): void {
    for (let page = 0; page < this.layout.memoryPages; page++) {
      if (this.pages(page, 1).some((byte) => byte !== 0)) setBit(bitmap, page);
    }
  }

  pages(firstPage: number, pageCount: number): Uint8Array {
    const { pageBytes } = this.machine;
    return new Uint8Array(this.#memory.buffer, firstPage * pageBytes, pageCount * pageBytes);
  }

  write(page: number, bytes: Uint8Array): void {
    this.pages(page, 1).set(bytes);
    this.#logged.add(page);
  }

  readPages(firstPage: number, into: Uint8Array): void {
    const count = into.length / this.machine.pageBytes;
    expect(this.layout.isSameRegion(firstPage, firstPage + count - 1), "a read beyond a region").toBe(true);
    into.set(this.pages(firstPage, count));
  }

  async pause(): Promise<void> {}
  async resume(): Promise<void> {}
  async release(): Promise<void> {}
  async saveState(): Promise<Uint8Array> {
    return new Uint8Array(0);
  }
}

function setBit(bitmap: Uint8Array, bit: number): void {
  bitmap[bit >> 3] = (bitmap[bit >> 3] as number) | (1 << (bit & 7));
}

/** What threads do, without threads: answers come late and out of order, and a window holds garbage where nothing changed. */
async function startPlainThreads(guest: StillGuest, seed: string, windowPages: number): Promise<ScanThreads> {
  const { arena, fingerprint } = await createKernels();
  const { pageBytes } = guest.machine;
  const page = arena.allocatePages(1, pageBytes);
  const secret = fingerprint.secret(BigInt(`0x${seed}`));
  const known = arena.allocate(16);
  const changed = arena.allocateBitmap(1);
  const fingerprints = new Uint8Array(guest.layout.memoryPages * 16);
  const log = new Uint8Array(bitmapBytes(guest.layout.memoryPages));
  let underWay = 0;
  return {
    count: 2,
    windowsAhead: 3,
    fingerprints,
    log,
    async scan(firstPage, pageCount) {
      underWay += 1;
      expect(underWay, "windows under way").toBeLessThanOrEqual(3);
      if (underWay % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      const pages = new Uint8Array(windowPages * pageBytes).fill(0xee);
      const dirty = new Uint8Array(bitmapBytes(windowPages));
      let dirtyCount = 0;
      for (let at = 0; at < pageCount; at++) {
        if (!hasBit(log, firstPage + at)) continue;
        guest.readPages(firstPage + at, page.bytes);
        const mine = fingerprints.subarray((firstPage + at) * 16, (firstPage + at + 1) * 16);
        known.bytes.set(mine);
        if (fingerprint.scan(page, pageBytes, secret, known, changed) === 0) continue;
        mine.set(known.bytes);
        pages.set(page.bytes, at * pageBytes);
        setBit(dirty, at);
        dirtyCount += 1;
      }
      const release = (): void => {
        pages.fill(0xee);
        underWay -= 1;
      };
      return { pages, dirty, dirtyCount, scanMs: 1, release };
    },
  };
}

/** Scans everything once; the pages that were visited, and checks that they are given as they are. */
async function scanAll(guest: StillGuest, scanner: DirtyScanner): Promise<number[]> {
  const { pageBytes } = guest.machine;
  const visited: number[] = [];
  const seen = new Set<number>();
  let counted = 0;
  const windows = scanner.scanRound(false, (firstPage, pages) => {
    expect(Buffer.compare(pages, guest.pages(firstPage, pages.length / pageBytes))).toBe(0);
    for (let page = 0; page < pages.length / pageBytes; page++) visited.push(firstPage + page);
  });
  for await (const { firstPage, pageCount, dirty } of windows) {
    for (let page = firstPage; page < firstPage + pageCount; page++) {
      expect(seen.has(page), `page ${page} is scanned twice`).toBe(false);
      seen.add(page);
    }
    counted += dirty;
  }
  expect(counted).toBe(visited.length);
  return visited.sort((left, right) => left - right);
}

async function scannerOf(guest: StillGuest): Promise<DirtyScanner> {
  const { layout } = guest;
  const zero = zeroFingerprints(await createKernels(), SEED, layout.pageBytes, layout.memoryPages);
  return await DirtyScanner.create(guest, layout, SEED, zero);
}

describe.each(WAYS)("scanner, memory %s", (way) => {
  for (const pageBytes of [1024, 4096, 65536]) {
    it(`finds what plain copies show, in pages of ${pageBytes} bytes, over regions with partial last pages`, async () => {
      const windowPages = (1 << 20) / pageBytes;
      const regions = [
        { name: "low", byteLength: 3 * pageBytes + 17 },
        { name: "ram", byteLength: (2 * windowPages + 5) * pageBytes },
        { name: "none", byteLength: 0 },
        { name: "video", byteLength: 1 },
      ];
      const guest = new StillGuest(pageBytes, regions, way);
      const { memoryPages } = guest.layout;
      const random = new Random(pageBytes);
      for (let page = 0; page < memoryPages; page += 3) guest.write(page, random.bytes(16));
      const scanner = await scannerOf(guest);
      let known: Buffer = Buffer.alloc(memoryPages * pageBytes);
      for (let round = 0; round < 6; round++) {
        const now = Buffer.from(guest.pages(0, memoryPages));
        const changed = Array.from({ length: memoryPages }, (_, page) => page).filter((page) => {
          const [from, to] = [page * pageBytes, (page + 1) * pageBytes];
          return now.compare(known, from, to, from, to) !== 0;
        });
        expect(await scanAll(guest, scanner)).toEqual(changed);
        expect(await scanAll(guest, scanner)).toEqual([]);
        known = now;
        // Writes here and there, some of which change nothing; the last pages of regions, and of bytes within them, too.
        for (let writes = random.below(40); writes > 0; writes--) {
          guest.write(random.below(memoryPages), random.bytes(random.below(3)));
        }
        let end = 0;
        for (const region of regions) {
          end += pagesOf(region, pageBytes);
          if (region.byteLength > 0) guest.write(end - 1, random.bytes(1));
        }
      }
    });
  }
});

describe("scanner, write log", () => {
  it("looks at every page in the first round, though somebody else has taken the log before", async () => {
    const guest = new StillGuest(4096, [{ name: "ram", byteLength: 64 * 4096 }], "logged");
    guest.write(7, Uint8Array.of(1));
    guest.takeDirtyPages?.(new Uint8Array(8));
    expect(await scanAll(guest, await scannerOf(guest))).toEqual([7]);
  });

  it("afterwards reads no page that was not written, nor one near to it", async () => {
    const guest = new StillGuest(4096, [{ name: "ram", byteLength: 256 * 4096 }], "logged");
    const scanner = await scannerOf(guest);
    await scanAll(guest, scanner);
    const read: number[] = [];
    const readPages = guest.readPages.bind(guest);
    guest.readPages = (firstPage, into) => {
      for (let page = 0; page < into.length / 4096; page++) read.push(firstPage + page);
      readPages(firstPage, into);
    };
    for (const page of [0, 5, 100, 255]) guest.write(page, Uint8Array.of(1));
    expect(await scanAll(guest, scanner)).toEqual([0, 5, 100, 255]);
    expect(read).toEqual([0, 1, 2, 3, 4, 5, 100, 255]);
  });
});

describe("scanner, allocated pages", () => {
  const regions = [{ name: "ram", byteLength: 600 * 4096 }];

  it("reads no page that was never anything but a hole", async () => {
    const guest = new StillGuest(4096, regions, "allocated");
    const read = new Set<number>();
    const readPages = guest.readPages.bind(guest);
    guest.readPages = (firstPage, into) => {
      for (let page = 0; page < into.length / 4096; page++) read.add(firstPage + page);
      readPages(firstPage, into);
    };
    for (const page of [3, 300, 599]) guest.write(page, Uint8Array.of(1));
    const scanner = await scannerOf(guest);
    expect(await scanAll(guest, scanner)).toEqual([3, 300, 599]);
    expect([...read]).toEqual([3, 300, 599]);
  });

  it.each(["allocated", "threads, allocated"] as const)("finds pages that became holes (%s)", async (way) => {
    const guest = new StillGuest(4096, regions, way);
    guest.write(5, Uint8Array.of(1));
    const scanner = await scannerOf(guest);
    expect(await scanAll(guest, scanner)).toEqual([5]);
    guest.punch(5);
    expect(await scanAll(guest, scanner)).toEqual([5]);
  });

  it("finds holes where the destination's older image has something", async () => {
    const guest = new StillGuest(4096, regions, "allocated");
    const fingerprints = zeroFingerprints(await createKernels(), SEED, 4096, 600);
    fingerprints[77 * 16] = (fingerprints[77 * 16] as number) ^ 1;
    const scanner = await DirtyScanner.create(guest, guest.layout, SEED, fingerprints);
    expect(await scanAll(guest, scanner)).toEqual([77]);
  });
});

describe("scanner, threads", () => {
  it("leave the cores to the guest while it runs", async () => {
    const guest = new StillGuest(4096, [{ name: "ram", byteLength: 5000 * 4096 }], "threads");
    guest.write(4000, Uint8Array.of(1));
    const start = guest.startScanThreads as NonNullable<StillGuest["startScanThreads"]>;
    const asked: number[] = [];
    const scanner = await DirtyScanner.create(
      Object.assign(guest, {
        startScanThreads: async (seed: string, windowPages: number) => {
          const threads = await start(seed, windowPages);
          const scan = (first: number, count: number) => {
            asked.push(first);
            return threads.scan(first, count);
          };
          return { ...threads, scan };
        },
      }),
      guest.layout,
      SEED,
      zeroFingerprints(await createKernels(), SEED, 4096, 5000),
    );
    expect(scanner.pausedSpeedup).toBe(3);
    const visited: number[] = [];
    for await (const _ of scanner.scanRound(true, (page) => visited.push(page)));
    expect([visited, asked]).toEqual([[4000], []]);
    guest.write(4000, Uint8Array.of(2));
    for await (const _ of scanner.scanRound(false, (page) => visited.push(page)));
    expect(visited).toEqual([4000, 4000]);
    expect(asked.length).toBeGreaterThan(0);
  });

  it("ends with the error of a window that could not be read", async () => {
    const guest = new StillGuest(4096, [{ name: "ram", byteLength: 5000 * 4096 }], "threads");
    const readPages = guest.readPages.bind(guest);
    guest.readPages = (firstPage, into) => {
      if (firstPage <= 900 && firstPage + into.length / 4096 > 900) throw new Error("no such page");
      readPages(firstPage, into);
    };
    const scanner = await scannerOf(guest);
    await expect(scanAll(guest, scanner)).rejects.toThrow("no such page");
  });
});
