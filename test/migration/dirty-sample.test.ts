import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { Guest } from "../../src/guest/guest.js";
import { LoggingMemoryGuest, MemoryGuest } from "../../src/guest/memory/guest.js";
import type { MemoryMachineOptions } from "../../src/guest/memory/machine.js";
import { nextTurn } from "../../src/guest/turn.js";
import { setBits } from "../../src/kernel/bitmap.js";
import {
  type DirtySample,
  growthOf,
  type SampleSurroundings,
  sampleDirtyRate,
} from "../../src/migration/dirty-sample.js";
import { MemoryLayout } from "../../src/migration/layout.js";
import { Random } from "../support/random.js";

const PAGE_BYTES = 4096;

const guests: (MemoryGuest | LoggingMemoryGuest)[] = [];
afterEach(() => {
  for (const { content } of guests.splice(0)) content.stop();
});

interface Setup extends Partial<MemoryMachineOptions> {
  readonly pages: number;
  readonly writesPerSecond: number;
  readonly Kind?: typeof MemoryGuest | typeof LoggingMemoryGuest;
  /** Makes something else of the guest. */
  readonly wrap?: (guest: Guest) => Guest;
}

/** Samples a guest that writes as time goes by, which it does only where it is waited for. */
async function sample({ pages, writesPerSecond, Kind = MemoryGuest, wrap, ...workload }: Setup): Promise<DirtySample> {
  const guest = new Kind({ memoryBytes: pages * PAGE_BYTES, pagesPerSecond: 0, ...workload });
  guests.push(guest);
  const random = new Random(7);
  let nowMs = 1e6;
  const surroundings: SampleSurroundings = {
    nowMs: () => nowMs,
    async wait(durationMs) {
      nowMs += durationMs;
      guest.content.advance((writesPerSecond * durationMs) / 1000);
    },
    random: () => random.below(2 ** 32) / 2 ** 32,
  };
  return await sampleDirtyRate(wrap?.(guest) ?? guest, new MemoryLayout(guest.machine, 0), surroundings);
}

function expectNear(actual: number, expected: number, share: number): void {
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(share * expected);
}

describe.each([MemoryGuest, LoggingMemoryGuest])("a sample of a $name", (Kind) => {
  it("tells how fast pages are dirtied and out of how many", async () => {
    const told = await sample({ Kind, pages: 4096, workingSetPages: 1000, writesPerSecond: 8000 });
    expect(told).toMatchObject({ sampledPages: 4096, allocatedPages: 4096 });
    expectNear(told.dirtyPagesPerSecond, 8000, 0.15);
    expectNear(told.workingSetPages, 1000, 0.1);
  });

  it("tells the same from a part of the memory", async () => {
    const workload = { workingSetPages: 6000, writesPerSecond: 40_000 };
    const told = await sample({ Kind, pages: 16_384, ...workload });
    expect(told).toMatchObject({ sampledPages: 4096, allocatedPages: 16_384 });
    expectNear(told.dirtyPagesPerSecond, workload.writesPerSecond, 0.25);
    expectNear(told.workingSetPages, workload.workingSetPages, 0.15);
  });
});

describe("a sample of dirty pages", () => {
  it("sees no end of the working set where there is none", async () => {
    const workload = { workingSetPages: 16_384, writesPerSecond: 8000, pattern: "sequential" } as const;
    const told = await sample({ pages: 16_384, ...workload });
    expectNear(told.dirtyPagesPerSecond, 8000, 0.15);
    expect(told.workingSetPages).toBe(16_384);
  });

  it("finds nothing where nothing is written", async () => {
    const told = await sample({ pages: 256, writesPerSecond: 0 });
    expect(told).toEqual({
      sampledPages: 256,
      allocatedPages: 256,
      dirtyPagesPerSecond: 0,
      workingSetPages: 0,
      bytesPerDirtyPage: 0,
    });
  });

  it("tells at least how fast a working set is written that is written whole all the time", async () => {
    const told = await sample({ pages: 1024, workingSetPages: 100, writesPerSecond: 1e6 });
    expectNear(told.workingSetPages, 100, 0.02);
    expect(told.dirtyPagesPerSecond).toBeGreaterThan(3000);
  });

  it("tells what a changed page takes as a delta", async () => {
    const busy = { pages: 1024, writesPerSecond: 2000, workingSetPages: 1024, pattern: "sequential" } as const;
    const few = await sample({ ...busy, bytesPerPage: 64 });
    expect(few.bytesPerDirtyPage).toBeGreaterThan(64);
    expect(few.bytesPerDirtyPage).toBeLessThan(80);
    const all = await sample({ ...busy, bytesPerPage: PAGE_BYTES });
    expectNear(all.bytesPerDirtyPage, PAGE_BYTES, 0.01);
  });

  it("looks only at pages that are in use, each as likely as another, the same ones each time", async () => {
    const looks = new Map<number, number>();
    const wrap = (guest: Guest): Guest => ({
      ...guest,
      machine: guest.machine,
      readPages(firstPage, into) {
        expect(into.length).toBe(PAGE_BYTES);
        looks.set(firstPage, (looks.get(firstPage) ?? 0) + 1);
        guest.readPages(firstPage, into);
      },
      markAllocatedPages(bitmap) {
        setBits(bitmap, 1000, 5000);
        setBits(bitmap, 8000, 3192);
      },
    });
    const told = await sample({ pages: 16_384, writesPerSecond: 0, wrap });
    expect(told).toMatchObject({ sampledPages: 4096, allocatedPages: 8192 });
    const pages = [...looks.keys()];
    expect(pages).toEqual([...pages].sort((left, right) => left - right));
    expect(pages.every((page) => (page >= 1000 && page < 6000) || (page >= 8000 && page < 11_192))).toBe(true);
    expect([...looks.values()].every((count) => count === 3)).toBe(true);
    expectNear(pages.filter((page) => page < 3500).length, 1250, 0.1);
    expectNear(pages.filter((page) => page >= 8000).length, 1596, 0.1);
  });

  it("of a machine that has nothing in use yet is empty", async () => {
    const wrap = (guest: Guest): Guest => ({ ...guest, machine: guest.machine, markAllocatedPages: () => {} });
    const told = await sample({ pages: 64, writesPerSecond: 1000, wrap });
    expect(told).toMatchObject({ sampledPages: 0, allocatedPages: 0, dirtyPagesPerSecond: 0, workingSetPages: 0 });
  });

  it("lets others on its thread have their turns", async () => {
    let isSampling = true;
    let turns = 0;
    const others = (async () => {
      for (; isSampling; turns++) await nextTurn();
    })();
    await sample({ pages: 4096, writesPerSecond: 0 });
    isSampling = false;
    await others;
    expect(turns).toBeGreaterThanOrEqual(3 * (4096 / 256));
  });

  it("fits what a working set's pages come to", () => {
    const workingSets = fc.double({ min: 1, max: 1e7, noNaN: true });
    // How much of the working set the first half leaves alone.
    const shares = fc.double({ min: 0.02, max: 0.79, noNaN: true });
    fc.assert(
      fc.property(workingSets, shares, fc.double({ min: 1, max: 1000, noNaN: true }), (set, leftAlone, middleMs) => {
        const changedAfter = (halves: number): number => set * (1 - leftAlone ** halves);
        const { pagesPerSecond, workingSetPages } = growthOf(changedAfter(1), middleMs, changedAfter(2), 2 * middleMs);
        expectNear(workingSetPages, set, 1e-6);
        // The share that is left alone after t is e^(−d t / w).
        expectNear(pagesPerSecond, (-Math.log(leftAlone) * set * 1000) / middleMs, 1e-6);
      }),
      { numRuns: 300, seed: 3 },
    );
    expect(growthOf(100, 100, 200, 200)).toEqual({ pagesPerSecond: 1000, workingSetPages: Number.POSITIVE_INFINITY });
    // Halves that are not alike, and time that stood still.
    expect(growthOf(100, 100, 400, 400)).toEqual({ pagesPerSecond: 1000, workingSetPages: Number.POSITIVE_INFINITY });
    expect(growthOf(0, 0, 5, 0).pagesPerSecond).toBe(5000);
  });
});
