import { describe, expect, it } from "vitest";
import { LinkMeter } from "../../src/migration/link.js";

const KIB = 1024;

function meter(): { meter: LinkMeter; rates: number[] } {
  const rates: number[] = [];
  return { meter: new LinkMeter((rate) => rates.push(rate)), rates };
}

describe("link meter", () => {
  it("knows nothing before anything is confirmed", () => {
    const { meter: link, rates } = meter();
    expect([link.bytesPerSecond, link.confirmedBytes, rates]).toEqual([0, 0, []]);
  });

  it("takes the rate of what streamed in since the last one", () => {
    const { meter: link, rates } = meter();
    link.confirmed({ bytes: 5, streamedBytes: 1000 * KIB, streamedMicroseconds: 100_000 });
    link.confirmed({ bytes: 9, streamedBytes: 1500 * KIB, streamedMicroseconds: 125_000 });
    expect(rates).toEqual([10_000 * KIB, 20_000 * KIB]);
    expect(link.bytesPerSecond).toBeCloseTo((0.7 * 10_000 + 0.3 * 20_000) * KIB, 3);
    expect(link.confirmedBytes).toBe(9);
  });

  it("gathers small pieces until they tell something", () => {
    const { meter: link, rates } = meter();
    for (let piece = 1; piece <= 4; piece++) {
      link.confirmed({ bytes: 0, streamedBytes: piece * 20 * KIB, streamedMicroseconds: piece * 1000 });
    }
    expect(rates).toEqual([20_000 * KIB]);
  });

  it("believes no numbers that run backwards, and divides by no time that is nothing", () => {
    const { meter: link, rates } = meter();
    link.confirmed({ bytes: 7, streamedBytes: 100 * KIB, streamedMicroseconds: 1000 });
    link.confirmed({ bytes: 3, streamedBytes: 0, streamedMicroseconds: 0 });
    link.confirmed({ bytes: 3, streamedBytes: 900 * KIB, streamedMicroseconds: 10 });
    expect([rates.length, link.confirmedBytes]).toEqual([1, 7]);
    link.confirmed({ bytes: 8, streamedBytes: 200 * KIB, streamedMicroseconds: 1000 });
    expect(rates[1]).toBe(100 * KIB * 1e6);
  });
});
