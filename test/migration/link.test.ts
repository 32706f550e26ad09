import { describe, expect, it } from "vitest";
import { LinkMeter } from "../../src/migration/link.js";

function meterAt(): { meter: LinkMeter; clock: { ms: number }; reports: [number, boolean][] } {
  const clock = { ms: 1000 };
  const reports: [number, boolean][] = [];
  const meter = new LinkMeter(
    () => clock.ms,
    (bytesPerSecond, isSaturated) => reports.push([bytesPerSecond, isSaturated]),
  );
  return { meter, clock, reports };
}

describe("link meter", () => {
  it("knows nothing before anything is confirmed", () => {
    const { meter, reports } = meterAt();
    meter.sent(1000);
    expect(meter.bytesPerSecond).toBe(0);
    expect(reports).toEqual([]);
  });

  it("takes the rate from the send to the confirmation of all of it", () => {
    const { meter, clock, reports } = meterAt();
    meter.sent(1000);
    clock.ms += 100;
    meter.received(1000);
    expect(meter.bytesPerSecond).toBe(10_000);
    expect(reports).toEqual([[10_000, false]]);
  });

  it("does not count the time in which nothing was on its way", () => {
    const { meter, clock } = meterAt();
    meter.sent(1000);
    clock.ms += 100;
    meter.received(1000);
    clock.ms += 5000;
    meter.sent(1000);
    clock.ms += 100;
    meter.received(2000);
    expect(meter.bytesPerSecond).toBeCloseTo(10_000, 6);
  });

  it("takes a rate over 20 ms at least, while more is on its way", () => {
    const { meter, clock, reports } = meterAt();
    meter.sent(10_000);
    for (let step = 1; step <= 4; step++) {
      clock.ms += 8;
      meter.received(step * 100);
    }
    expect(reports).toEqual([[(300 / 24) * 1000, false]]);
  });

  it("smooths: the newest rate has three tenths of the weight", () => {
    const { meter, clock } = meterAt();
    meter.sent(100_000);
    clock.ms += 100;
    meter.received(10_000);
    clock.ms += 100;
    meter.received(30_000);
    expect(meter.bytesPerSecond).toBeCloseTo(0.7 * 100_000 + 0.3 * 200_000, 6);
  });

  it("says whether the sender had to wait meanwhile, anew for each rate", () => {
    const { meter, clock, reports } = meterAt();
    meter.sent(3000);
    meter.waited();
    clock.ms += 50;
    meter.received(1000);
    clock.ms += 50;
    meter.received(2000);
    expect(reports.map(([, isSaturated]) => isSaturated)).toEqual([true, false]);
  });

  it("believes no peer that confirms more than was sent, or takes a confirmation back", () => {
    const { meter, clock, reports } = meterAt();
    meter.sent(1000);
    clock.ms += 100;
    meter.received(2 ** 60);
    expect(meter.bytesPerSecond).toBe(10_000);
    meter.sent(1000);
    clock.ms += 100;
    meter.received(0);
    expect(meter.bytesPerSecond).toBe(10_000);
    expect(reports).toHaveLength(1);
  });

  it("divides by no time that is nothing", () => {
    const { meter } = meterAt();
    meter.sent(1000);
    meter.received(1000);
    expect(Number.isFinite(meter.bytesPerSecond)).toBe(true);
  });
});
