import { describe, expect, it } from "vitest";
import { formatBytes, formatClock, formatMs, formatPace, formatShare, formatThings } from "../../web/src/format.js";

describe("figures for people", () => {
  it.each([
    [0, "0 bytes"],
    [999, "999 bytes"],
    [1000, "1 kB"],
    [18_234_567, "18.2 MB"],
    [75_497_472, "75.5 MB"],
    [999_600, "1 MB"],
  ])("%d bytes are %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [0, "0 ms"],
    [0.42, "0.4 ms"],
    [47.3, "47 ms"],
    [999.4, "999 ms"],
    [999.6, "1.0 s"],
    [1234, "1.2 s"],
    [59_960, "1 min 0 s"],
    [125_000, "2 min 5 s"],
  ])("%d ms are %s", (ms, text) => expect(formatMs(ms)).toBe(text));

  it.each([
    [0, 10, "0 %"],
    [0, 0, "0 %"],
    [1, 1000, "< 1 %"],
    [1, 3, "33 %"],
    [7, 7, "100 %"],
  ])("%d of %d are %s", (part, whole, text) => expect(formatShare(part, whole)).toBe(text));

  it("things are counted, one as one", () => {
    expect(formatThings(1, "page")).toBe("1 page");
    expect(formatThings(6100, "page")).toBe("6,100 pages");
  });

  it("a clock shows hours, minutes, seconds and tenths", () => {
    expect(formatClock(83.2)).toBe("0:01:23.2");
    expect(formatClock(3661.99)).toBe("1:01:01.9");
  });

  it("a pace is in millions of instructions", () => {
    expect(formatPace(52_400_000)).toBe("52 MIPS");
    expect(formatPace(900_000)).toBe("0.9 MIPS");
  });
});
