import { expect, it } from "vitest";
import { decodePageRuns, encodePageRuns, PAGE_RUNS_MAX_BYTES, type PageRun } from "../../src/wire/page-runs.js";
import { toHex } from "../support/bytes.js";

const PAGES = 2 ** 32 - 2;
const malformed = expect.objectContaining({ name: "WireError", code: "message-malformed" });

it("runs of pages are pairs of numbers", () => {
  const runs = [
    { firstPage: 258, pageCount: 1 },
    { firstPage: 3, pageCount: 65536 },
  ];
  const [body, ...more] = encodePageRuns(runs);
  expect(more).toEqual([]);
  expect(toHex(body as Uint8Array)).toBe("02010000010000000300000000000100");
  expect(decodePageRuns(body as Uint8Array, PAGES)).toEqual(runs);
  expect(encodePageRuns([])).toEqual([]);
});

it("as many frames are made as the runs need, none longer than a frame may be", () => {
  const runs = Array.from({ length: 1300 }, (_, at): PageRun => ({ firstPage: at * 7, pageCount: 1 + (at % 5) }));
  const bodies = encodePageRuns(runs);
  expect(bodies.map(({ length }) => length)).toEqual([PAGE_RUNS_MAX_BYTES, PAGE_RUNS_MAX_BYTES, (1300 - 1024) * 8]);
  expect(bodies.flatMap((body) => decodePageRuns(body, PAGES))).toEqual(runs);
});

it("what is none, or leaves the machine, is refused", () => {
  for (const length of [0, 7, 9]) expect(() => decodePageRuns(new Uint8Array(length), PAGES)).toThrow(malformed);
  const runOf = (firstPage: number, pageCount: number): Uint8Array =>
    encodePageRuns([{ firstPage, pageCount }])[0] as Uint8Array;
  expect(decodePageRuns(runOf(90, 10), 100)).toEqual([{ firstPage: 90, pageCount: 10 }]);
  for (const [first, count] of [
    [90, 11],
    [100, 1],
    [0, 0],
    [2 ** 32 - 1, 2 ** 32 - 1],
  ] as const) {
    expect(() => decodePageRuns(runOf(first, count), 100)).toThrow(malformed);
  }
});
