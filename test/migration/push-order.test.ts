import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PushOrder } from "../../src/migration/push-order.js";

function cold(pageCount: number): Uint8Array {
  return new Uint8Array(pageCount);
}

/** All pages that wait, in their order. */
function takeAll(order: PushOrder, maxPages: number): number[] {
  const taken: number[] = [];
  for (let run = order.take(maxPages); run !== undefined; run = order.take(maxPages)) {
    expect(run.pageCount).toBeGreaterThan(0);
    expect(run.pageCount).toBeLessThanOrEqual(maxPages);
    for (let page = run.firstPage; page < run.firstPage + run.pageCount; page++) taken.push(page);
  }
  return taken;
}

function ascending(pages: readonly number[]): number[] {
  return [...pages].sort((left, right) => left - right);
}

function from(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => first + at);
}

describe("push order", () => {
  it("gives every page that waits once, whatever happens in between", () => {
    const pageCount = 700;
    const pages = fc.nat(pageCount - 1);
    const lengths = fc.integer({ min: 1, max: 60 });
    const step = fc.oneof(
      fc.record({ what: fc.constantFrom("add" as const, "remove" as const), page: pages, length: lengths }),
      fc.record({ what: fc.constantFrom("pivot" as const, "take" as const), page: pages, length: lengths }),
    );
    const heats = fc.array(fc.oneof(fc.constant(0), fc.nat(255)), { minLength: pageCount, maxLength: pageCount });
    fc.assert(
      fc.property(heats, fc.array(step, { maxLength: 60 }), lengths, (heat, steps, maxPages) => {
        const order = new PushOrder(pageCount, Uint8Array.from(heat));
        const waiting = new Set<number>();
        const isGiven = (firstPage: number, count: number): void => {
          for (const page of from(firstPage, count)) expect(waiting.delete(page)).toBe(true);
        };
        for (const { what, page, length } of steps) {
          const range = from(page, Math.min(length, pageCount - page));
          if (what === "pivot") order.pivot(page);
          else if (what === "add") {
            order.add(page, range.length);
            for (const each of range) waiting.add(each);
          } else if (what === "remove") {
            order.remove(page, range.length);
            for (const each of range) waiting.delete(each);
          } else {
            const run = order.take(length);
            expect(run === undefined).toBe(waiting.size === 0);
            if (run !== undefined) isGiven(run.firstPage, run.pageCount);
          }
          expect(order.remaining).toBe(waiting.size);
          expect(order.has(page)).toBe(waiting.has(page));
        }
        for (const page of takeAll(order, maxPages)) isGiven(page, 1);
        expect(waiting.size).toBe(0);
        expect(order.remaining).toBe(0);
      }),
      { numRuns: 300, seed: 4 },
    );
  });

  it("sweeps from the lowest page on where nothing else is known, also over what came late", () => {
    const order = new PushOrder(1000, cold(1000));
    order.add(500, 300);
    expect(order.take(100)).toEqual({ firstPage: 500, pageCount: 100 });
    order.add(20, 3);
    order.add(900, 1);
    expect(takeAll(order, 64)).toEqual([20, 21, 22, ...from(600, 200), 900]);
    expect(order.take(1)).toBeUndefined();
  });

  it("lets a bubble grow around a fault, three times as far forwards, nearest pages first", () => {
    const fault = 4000;
    const order = new PushOrder(10_000, cold(10_000));
    order.add(0, 10_000);
    order.remove(fault, 1);
    order.pivot(fault);
    let [left, right] = [fault, fault + 1];
    while (right < fault + 384) {
      const { firstPage, pageCount } = order.take(64) as { firstPage: number; pageCount: number };
      // Always one of the two edges, and neither gets far ahead of the other.
      if (firstPage === right) right += pageCount;
      else {
        expect(firstPage + pageCount).toBe(left);
        left = firstPage;
      }
      expect(Math.abs(right - fault - 3 * (fault - left))).toBeLessThanOrEqual(32);
    }
    expect(fault - left).toBeGreaterThan(112);
  });

  it("ends a bubble, and goes on with the older ones and then with the sweep", () => {
    const order = new PushOrder(10_000, cold(10_000));
    order.add(0, 10_000);
    order.pivot(2000);
    order.pivot(6000);
    const taken = takeAll(order, 64);
    expect(ascending(taken.slice(0, 512))).toEqual(from(5872, 512));
    expect(ascending(taken.slice(512, 1024))).toEqual(from(1872, 512));
    expect(taken.slice(1024)).toEqual([...from(0, 1872), ...from(2384, 5872 - 2384), ...from(6384, 10_000 - 6384)]);
  });

  it("follows the newest fault, and forgets all but the newest few", () => {
    const order = new PushOrder(100_000, cold(100_000));
    order.add(0, 100_000);
    const faults = [90, 80, 70, 60, 50, 40, 30, 20, 10].map((thousands) => thousands * 1000);
    for (const fault of faults) {
      order.pivot(fault);
      expect(order.take(64)?.firstPage).toBe(fault);
    }
    const taken = takeAll(order, 64).slice(0, 8 * 512);
    const bubbles = new Set(taken.map((page) => Math.round(page / 10_000) * 10_000));
    expect([...bubbles]).toEqual([...faults.slice(1).reverse(), 0]);
  });

  it("brings neighbours that came to wait after the fault", () => {
    const order = new PushOrder(2000, cold(2000));
    order.pivot(1000);
    expect(order.take(8)).toBeUndefined();
    order.add(10, 5);
    order.add(1100, 2);
    order.add(990, 4);
    expect(takeAll(order, 8)).toEqual([990, 991, 992, 993, 1100, 1101, ...from(10, 5)]);
  });

  it("stays inside the memory around faults at its ends", () => {
    const order = new PushOrder(100, cold(100));
    order.add(0, 100);
    order.pivot(99);
    order.pivot(0);
    expect(ascending(takeAll(order, 7))).toEqual(from(0, 100));

    const heat = cold(1000);
    heat[900] = 1;
    const sparse = new PushOrder(1000, heat);
    sparse.add(300, 1);
    sparse.add(900, 1);
    sparse.pivot(0);
    expect(takeAll(sparse, 7)).toEqual([300, 900]);
  });

  it("gives hot pages before cold ones, the hottest first, those that follow each other together", () => {
    const heat = cold(1000);
    heat.fill(3, 100, 120);
    heat.fill(255, 500, 510);
    heat.fill(3, 700, 702);
    heat[120] = 1;
    const order = new PushOrder(1000, heat);
    order.add(0, 1000);
    order.remove(105, 1);
    order.pivot(800);
    expect(order.take(1)).toEqual({ firstPage: 800, pageCount: 1 });
    order.remove(600, 400);
    expect(order.take(8)).toEqual({ firstPage: 500, pageCount: 8 });
    expect(order.take(8)).toEqual({ firstPage: 508, pageCount: 2 });
    expect(order.take(8)).toEqual({ firstPage: 100, pageCount: 5 });
    expect(order.take(64)).toEqual({ firstPage: 106, pageCount: 14 });
    expect(order.take(64)).toEqual({ firstPage: 120, pageCount: 1 });
    expect(order.take(64)).toEqual({ firstPage: 0, pageCount: 64 });
  });

  it("goes through millions of pages without looking at all of them for each", () => {
    const pageCount = 1 << 22;
    const heat = cold(pageCount);
    heat.fill(1, 0, 1 << 16);
    const order = new PushOrder(pageCount, heat);
    for (let first = 0; first < pageCount; first += 1 << 12) order.add(first, 64);
    order.pivot(pageCount - 1);
    expect(takeAll(order, 64).length).toBe((pageCount >> 12) * 64);
  });
});
