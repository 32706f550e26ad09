import { describe, expect, it } from "vitest";
import { LinkMeter } from "../../src/migration/link.js";

const KIB = 1024;

function meter(): { link: LinkMeter; reports: [number, boolean][] } {
  const reports: [number, boolean][] = [];
  return { link: new LinkMeter((rate, isFull) => reports.push([rate, isFull])), reports };
}

describe("link meter", () => {
  it("knows nothing before anything is confirmed", () => {
    const { link, reports } = meter();
    expect([link.bytesPerSecond, link.confirmedBytes, reports]).toEqual([0, 0, []]);
  });

  it("takes the link for full where the source waited for it, and smooths its rate", () => {
    const { link, reports } = meter();
    link.begin(1000);
    link.waited(30);
    link.confirmed(1000 * KIB, 1100);
    link.waited(40);
    link.confirmed(3000 * KIB, 1200);
    expect(reports).toEqual([
      [10_000 * KIB, true],
      [20_000 * KIB, true],
    ]);
    expect(link.bytesPerSecond).toBeCloseTo((0.7 * 10_000 + 0.3 * 20_000) * KIB, 3);
    expect(link.confirmedBytes).toBe(3000 * KIB);
  });

  it("takes what it delivers for the least where the source did not wait", () => {
    const { link, reports } = meter();
    link.begin(0);
    link.waited(29);
    link.confirmed(1000 * KIB, 100);
    link.confirmed(1100 * KIB, 200);
    expect(reports).toEqual([
      [10_000 * KIB, false],
      [1000 * KIB, false],
    ]);
    expect(link.bytesPerSecond).toBe(10_000 * KIB);
  });

  it("waits for enough time and enough bytes", () => {
    const { link, reports } = meter();
    link.begin(0);
    link.confirmed(900 * KIB, 19);
    link.confirmed(1000 * KIB, 20);
    link.confirmed(1063 * KIB, 500);
    expect(reports).toEqual([[50_000 * KIB, false]]);
    link.confirmed(1064 * KIB, 660);
    expect(reports[1]).toEqual([100 * KIB, false]);
  });

  it("does not count the time in which there was nothing to send", () => {
    const { link, reports } = meter();
    link.begin(0);
    link.confirmed(63 * KIB, 100);
    link.waited(1000);
    link.begin(10_000);
    link.confirmed(1063 * KIB, 10_100);
    expect(reports).toEqual([[10_000 * KIB, false]]);
  });

  it("believes no number that runs backwards", () => {
    const { link, reports } = meter();
    link.begin(0);
    link.confirmed(1000 * KIB, 100);
    link.confirmed(0, 200);
    expect([link.confirmedBytes, reports.length]).toEqual([1000 * KIB, 1]);
  });

  it("counts what something else measures, and takes no rate from it", () => {
    const { link, reports } = meter();
    link.begin(0);
    link.counted(3000 * KIB);
    link.counted(1000 * KIB);
    expect([link.bytesPerSecond, link.confirmedBytes, reports]).toEqual([0, 3000 * KIB, []]);
  });
});
