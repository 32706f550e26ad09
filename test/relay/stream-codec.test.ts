import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type MadeStream, makeStream, type StreamPlan } from "../support/qemu-stream.js";
import { Random } from "../support/random.js";
import { CodecPair, type StreamPair } from "../support/relay-codec.js";

const PLANS: Readonly<Record<string, StreamPlan>> = {
  "pre-copy": { seed: 1 },
  xbzrle: { seed: 2, xbzrle: true },
  "post-copy": { seed: 3, postcopy: true },
  "post-copy with xbzrle before": { seed: 4, postcopy: true, xbzrle: true },
  "shared RAM that is left out": { seed: 5, extras: 1 },
  "huge pages and shared RAM": { seed: 6, extras: 2 },
  "records that all name their blocks": { seed: 7, named: 1 },
  "another section in parts": { seed: 8, bitmap: true },
};

/** Passes a stream in pieces that end at these places, with a silence behind each or none. */
async function passCut(
  stream: StreamPair,
  bytes: Uint8Array,
  cuts: readonly number[],
  isSilent: boolean,
): Promise<void> {
  let from = 0;
  for (const to of cuts) {
    await stream.pass(bytes.subarray(from, to), isSilent);
    from = to;
  }
  await stream.pass(bytes.subarray(from), true);
  expect(stream.waitingBytes).toBe(0);
}

function pagesOf(stream: StreamPair): number {
  return Object.values(stream.encoder.statistics.pages).reduce((sum, count) => sum + count, 0);
}

function expectRecognised(stream: StreamPair, made: MadeStream): void {
  expect([pagesOf(stream), stream.encoder.statistics.zeroRecords]).toEqual([made.pages, made.zeros]);
}

describe("a stream", () => {
  it.each(Object.entries(PLANS))("of %s comes out as it went in, and all its pages were found", async (_, plan) => {
    const made = makeStream({ ...plan, pagesPerRound: 150 });
    const whole = new CodecPair().stream("m");
    await passCut(whole, made.bytes, [], false);
    expectRecognised(whole, made);
    const atBorders = new CodecPair().stream("m");
    await passCut(atBorders, made.bytes, made.borders, true);
    expectRecognised(atBorders, made);
    const { pages, verbatimBytes } = whole.encoder.statistics;
    expect(verbatimBytes).toBeLessThan(made.bytes.length - made.pages * 4096);
    expect(Math.min(pages.dup, pages.delta, pages.novel, pages.unchanged)).toBeGreaterThan(0);
  });

  it.each(Object.entries(PLANS))(
    "of %s comes out whole however it is cut, with and without silences",
    async (_, plan) => {
      const made = makeStream({ ...plan, rounds: 2, pagesPerRound: 15 });
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.nat(made.bytes.length), { maxLength: 30 }),
          fc.boolean(),
          async (places, isSilent) => {
            const stream = new CodecPair().stream("m");
            await passCut(
              stream,
              made.bytes,
              places.sort((a, b) => a - b),
              isSilent,
            );
            if (!isSilent) expectRecognised(stream, made);
          },
        ),
        { numRuns: 12, seed: 5 },
      );
    },
  );

  it("comes out whole byte by byte, each sent at once, and finds its way into pages again", async () => {
    const made = makeStream({ seed: 9, rounds: 1, pagesPerRound: 3, blocks: [["pc.ram", 8]] });
    const head = made.borders[5] as number;
    const stream = new CodecPair().stream("m");
    for (let at = 0; at < head; at++) await stream.pass(made.bytes.subarray(at, at + 1), true);
    await stream.pass(made.bytes.subarray(head), true);
    expect(stream.waitingBytes).toBe(0);
    expect(pagesOf(stream)).toBeGreaterThan(0);
  });

  it("that is cut off anywhere comes out as far as it came", async () => {
    const made = makeStream({ seed: 10, rounds: 2, pagesPerRound: 8, xbzrle: true });
    for (let at = 0; at < 60; at++) {
      const length = new Random(at).below(made.bytes.length);
      await passCut(new CodecPair().stream("m"), made.bytes.subarray(0, length), [], false);
    }
  });

  it("with a record that nobody knows goes on as it is, and its pages are found again in the next part", async () => {
    const made = makeStream({ seed: 11, rounds: 4, unknownRecord: true });
    const stream = new CodecPair().stream("m");
    await passCut(stream, made.bytes, [], false);
    expectRecognised(stream, made);
  });

  it.each([
    ["multifd packets", Buffer.concat([Uint8Array.of(0x11, 0x22, 0x33, 0x44), new Random(1).bytes(50_000)])],
    ["noise", new Random(2).bytes(200_000)],
    ["zeros", new Uint8Array(5 << 20)],
    ["QEMU's first word and noise", Buffer.concat([Buffer.from("QEVM\0\0\0\x03"), new Random(3).bytes(90_000)])],
    ["nothing", new Uint8Array(0)],
  ])("that is %s is carried as it is", async (_, bytes) => {
    const stream = new CodecPair().stream("m");
    await passCut(
      stream,
      bytes,
      [1, 2, 3, 1000].filter((at) => at < bytes.length),
      true,
    );
    expect(stream.encoder.statistics.verbatimBytes).toBe(bytes.length);
  });

  it("ends no batch by itself: parts that are not silent give few frames", async () => {
    const made = makeStream({ seed: 12, blocks: [["pc.ram", 600]], rounds: 6, pagesPerRound: 400 });
    const stream = new CodecPair().stream("m");
    const cuts = Array.from({ length: Math.floor(made.bytes.length / 65536) }, (_, at) => at * 65536);
    await passCut(stream, made.bytes, cuts, false);
    expectRecognised(stream, made);
    expect(stream.bodies.length).toBeLessThan(made.bytes.length / 500_000);
  });
});

describe("codecs of several machines", () => {
  const plan: StreamPlan = { seed: 13, rounds: 1, pagesPerRound: 120 };

  it("find one machine's pages in another's only where they share", async () => {
    for (const [share, dups] of [
      [[], false],
      [[["a", "b"]], true],
    ] as const) {
      const codecs = new CodecPair(share);
      const [first, second] = [codecs.stream("a"), codecs.stream("b")];
      const made = makeStream(plan);
      await passCut(first, made.bytes, [], false);
      await passCut(second, made.bytes, [], false);
      const { pages } = second.encoder.statistics;
      // Of its novel pages, those that the other machine's later content has displaced stay so.
      if (dups) expect(pages.novel).toBeLessThan(first.encoder.statistics.pages.novel / 2);
      else expect(pages).toEqual(first.encoder.statistics.pages);
      expect(codecs.created.length).toBe(dups ? 1 : 2);
      first.end();
      second.end();
    }
  });

  it("take turns in one cache as their parts come", async () => {
    const codecs = new CodecPair([["a", "b"]]);
    const streams = [codecs.stream("a"), codecs.stream("b")];
    const all = [makeStream({ seed: 14 }), makeStream({ seed: 15, xbzrle: true })].map(({ bytes }) => bytes);
    for (let at = 0; at < Math.max(...all.map(({ length }) => length)); at += 50_000) {
      for (const [index, stream] of streams.entries()) {
        await stream.pass((all[index] as Uint8Array).subarray(at, at + 50_000), true);
      }
    }
    for (const stream of streams) {
      expect(stream.waitingBytes).toBe(0);
      stream.end();
    }
  });

  it("take no more memory together than they may, and give it back", () => {
    const codecs = new CodecPair();
    const big = 900;
    const first = codecs.source.join("a", big);
    expect(first.cacheBytes).toBe(big * 4096);
    const second = codecs.source.join("b", big);
    expect(second.cacheBytes).toBe((4 << 20) - first.cacheBytes);
    // What is left is nothing: the least there is.
    expect(codecs.source.join("c", big).cacheBytes).toBe(256 << 10);
    expect(codecs.source.join("a", big)).toBe(first);
    codecs.source.leave(first);
    codecs.source.leave(first);
    expect(codecs.source.join("d", 1000).cacheBytes).toBe(big * 4096 - (256 << 10));
  });
});
