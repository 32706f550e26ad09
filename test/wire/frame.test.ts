import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadChecksum } from "../../src/wire/checksum.js";
import type { WireErrorCode } from "../../src/wire/errors.js";
import { encodeFrame, FRAME_HEADER_BYTES, type Frame, FrameParser } from "../../src/wire/frame.js";
import { concat, expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";
import { goldenBytes } from "./golden/golden.js";

const checksum = await loadChecksum();
/** Type 1 may have 64 bytes, type 5 may have 8 KiB, type 128 none; all others are unknown. */
const MAX_BYTES = new Map([
  [1, 64],
  [5, 8192],
  [128, 0],
]);
const SKIPPED_MAX_BYTES = 1 << 20;

function error(code: WireErrorCode): unknown {
  return expect.objectContaining({ name: "WireError", code });
}

/** All frames of the chunks. */
function parse(...chunks: readonly Uint8Array[]): Frame[] {
  const parser = new FrameParser(checksum, MAX_BYTES);
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    for (let frame = parser.next(); frame !== undefined; frame = parser.next()) frames.push(frame);
  }
  expect(parser.isInsideFrame).toBe(false);
  return frames;
}

function expectFrames(actual: readonly Frame[], expected: readonly Frame[]): void {
  expect(actual.map(({ type, channel }) => [type, channel])).toEqual(
    expected.map(({ type, channel }) => [type, channel]),
  );
  for (const [index, { body }] of expected.entries()) expectSameBytes((actual[index] as Frame).body, body);
}

/** A header without body; its checksum is right for an empty body. */
function header(type: number, bodyBytes: number, reserved = 0): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = type;
  bytes[1] = reserved;
  view.setUint32(4, bodyBytes, true);
  view.setBigUint64(8, checksum(bytes.subarray(0, 0), view.getBigUint64(0, true)), true);
  return bytes;
}

const FRAMES: readonly Frame[] = [
  { type: 1, channel: 0, body: new TextEncoder().encode("{}") },
  { type: 128, channel: 1, body: new Uint8Array(0) },
  { type: 5, channel: 0xfffe, body: Uint8Array.from({ length: 40 }, (_, at) => at) },
  { type: 1, channel: 1, body: new Uint8Array(0) },
];
const STREAM = await goldenBytes("frames.hex");

describe("frames", () => {
  it("are written just so", () => {
    const written = FRAMES.map(({ type, channel, body }) => encodeFrame(checksum, type, channel, body));
    expectSameBytes(concat(written), STREAM);
  });

  it("come whole, wherever the stream is cut in three", () => {
    for (let first = 0; first <= STREAM.length; first++) {
      for (let second = first; second <= STREAM.length; second++) {
        expectFrames(parse(STREAM.subarray(0, first), STREAM.subarray(first, second), STREAM.subarray(second)), FRAMES);
      }
    }
  });

  it("come whole from single bytes and from random chunks", () => {
    expectFrames(parse(...Array.from(STREAM, (byte) => Uint8Array.of(byte))), FRAMES);
    const frame = fc.record({
      type: fc.constantFrom(1, 5, 128, 129, 255),
      channel: fc.nat(65535),
      seed: fc.nat(),
      bytes: fc.oneof(fc.nat(64), fc.nat(5000)),
    });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.nat(), (shapes, seed) => {
        const frames = shapes.map(({ type, channel, seed, bytes }) => {
          const limit = MAX_BYTES.get(type) ?? SKIPPED_MAX_BYTES;
          return { type, channel, body: new Random(seed).bytes(Math.min(limit, bytes)) };
        });
        const stream = concat(frames.map(({ type, channel, body }) => encodeFrame(checksum, type, channel, body)));
        const random = new Random(seed);
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < stream.length; ) {
          const length = random.below(random.below(2) === 0 ? 20 : 4000);
          chunks.push(stream.subarray(at, at + length));
          at += length;
        }
        const known = frames.filter(({ type }) => MAX_BYTES.has(type));
        expectFrames(parse(...chunks), known);
      }),
      { numRuns: 100, seed: 2 },
    );
  });

  it("have bodies of their own: what happens to the chunk later does not matter", () => {
    const chunk = STREAM.slice();
    const parser = new FrameParser(checksum, MAX_BYTES);
    parser.push(chunk);
    const frame = parser.next() as Frame;
    chunk.fill(0xee);
    expectFrames([frame], FRAMES.slice(0, 1));
  });

  it("say whether one has begun", () => {
    const parser = new FrameParser(checksum, MAX_BYTES);
    expect(parser.isInsideFrame).toBe(false);
    const frame = encodeFrame(checksum, 1, 0, Uint8Array.of(1, 2));
    for (let at = 0; at < frame.length; at++) {
      parser.push(frame.subarray(at, at + 1));
      expect(parser.next() !== undefined).toBe(at === frame.length - 1);
      expect(parser.isInsideFrame).toBe(at < frame.length - 1);
    }
  });

  it("are refused whichever bit is flipped on their way", () => {
    for (let bit = 0; bit < STREAM.length * 8; bit++) {
      const flipped = STREAM.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const parser = new FrameParser(checksum, MAX_BYTES);
      // Should the length have grown, the frames behind do not fill it: zeros do.
      parser.push(concat([flipped, new Uint8Array(8192)]));
      expect(() => {
        while (parser.next() !== undefined);
      }, `bit ${bit}`).toThrow(expect.objectContaining({ name: "WireError" }));
    }
  });
});

describe("types that are not known", () => {
  it.each([0, 2, 3, 4, 6, 127])("%i is refused", (type) => {
    const parser = new FrameParser(checksum, MAX_BYTES);
    parser.push(header(type, 0));
    expect(() => parser.next()).toThrow(error("frame-unknown"));
    expect(() => parser.next(), "again").toThrow(error("frame-unknown"));
  });

  it.each([129, 200, 255])("%i is passed over", (type) => {
    const skipped = encodeFrame(checksum, type, 3, new Uint8Array(SKIPPED_MAX_BYTES));
    expectFrames(parse(skipped, STREAM, skipped, skipped, STREAM), [...FRAMES, ...FRAMES]);
    expectFrames(parse(concat([skipped, STREAM])), FRAMES);
  });

  it("one that is passed over is checked all the same", () => {
    const damaged = encodeFrame(checksum, 129, 0, Uint8Array.of(1, 2, 3));
    damaged[17] = 7;
    expect(() => parse(damaged)).toThrow(error("checksum"));
    expect(() => parse(header(129, SKIPPED_MAX_BYTES + 1))).toThrow(error("frame-too-large"));
  });
});

describe("a header that promises too much", () => {
  it("is refused before memory is taken", () => {
    const tooLarge: (readonly [number, number])[] = [
      [1, 65],
      [128, 1],
      [5, 8193],
      [5, 0xffff_ffff],
      [255, 0xffff_ffff],
    ];
    const allocated: number[] = [];
    const Original = globalThis.Uint8Array;
    class Counting extends Original {
      constructor(length: number) {
        allocated.push(length);
        super(length);
      }
    }
    for (const [type, bodyBytes] of tooLarge) {
      const parser = new FrameParser(checksum, MAX_BYTES);
      parser.push(header(type, bodyBytes));
      globalThis.Uint8Array = Counting as unknown as Uint8ArrayConstructor;
      try {
        expect(() => parser.next(), `${type}`).toThrow(error("frame-too-large"));
      } finally {
        globalThis.Uint8Array = Original;
      }
      expect(allocated).toEqual([]);
    }
  });

  it("is taken at just the limit", () => {
    for (const [type, bodyBytes] of MAX_BYTES) {
      const frame = { type, channel: 0, body: new Random(type).bytes(bodyBytes) };
      expectFrames(parse(encodeFrame(checksum, type, 0, frame.body)), [frame]);
    }
  });

  it("is refused where a reserved byte is set", () => {
    const frame = header(1, 0, 1);
    expect(() => parse(frame)).toThrow(error("message-malformed"));
  });

  it("goes on refusing", () => {
    const damaged = STREAM.slice();
    damaged[16] = 0;
    const parser = new FrameParser(checksum, MAX_BYTES);
    parser.push(damaged);
    expect(() => parser.next()).toThrow(error("checksum"));
    parser.push(STREAM);
    expect(() => parser.next()).toThrow(error("checksum"));
  });
});
