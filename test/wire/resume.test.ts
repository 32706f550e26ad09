import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { WireErrorCode } from "../../src/wire/errors.js";
import {
  ANSWER_BYTES,
  DATA_MAX_BYTES,
  decodeAnswer,
  decodeOpening,
  encodeAnswer,
  encodeControl,
  encodeOpening,
  OPENING_BYTES,
  type Opening,
  RESUME_HEADER_BYTES,
  type ResumePart,
  ResumeReader,
  ResumeType,
  SILENCE_MIN_MS,
  type Verdict,
  writeResumeHeader,
} from "../../src/wire/resume.js";
import { concat, toHex } from "../support/bytes.js";

const error = (code: WireErrorCode): unknown => expect.objectContaining({ name: "WireError", code });

const TOKEN = Uint8Array.from({ length: 32 }, (_, at) => 0xa0 + at);
const OPENING: Opening = { isNew: false, attempt: 3, silenceMs: 10_000, received: 2 ** 32 + 5, token: TOKEN };
const GOLDEN_OPENING = `5046524f 01 02 0000 03000000 10270000 0500000001000000 ${toHex(TOKEN)}`.replaceAll(" ", "");

function data(number: number, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(RESUME_HEADER_BYTES + bytes.length);
  writeResumeHeader(frame, ResumeType.data, bytes.length, number);
  frame.set(bytes, RESUME_HEADER_BYTES);
  return frame;
}

/** All that the reader makes of these bytes, pushed in pieces of these lengths, over and over. */
function read(stream: Uint8Array, lengths: readonly number[] = [stream.length || 1]): ResumePart[] {
  const reader = new ResumeReader();
  const parts: ResumePart[] = [];
  for (let at = 0, piece = 0; at < stream.length; piece++) {
    const length = lengths[piece % lengths.length] as number;
    reader.push(stream.subarray(at, at + length));
    at += length;
    for (let part = reader.next(); part !== undefined; part = reader.next()) parts.push(part);
  }
  return parts;
}

describe("openings and answers", () => {
  it("an opening has these bytes", () => {
    expect(toHex(encodeOpening(OPENING))).toBe(GOLDEN_OPENING);
    expect(GOLDEN_OPENING.length).toBe(2 * OPENING_BYTES);
    expect(decodeOpening(encodeOpening(OPENING))).toEqual(OPENING);
    const first = { ...OPENING, isNew: true, received: 0 };
    expect(toHex(encodeOpening(first)).slice(0, 16)).toBe("5046524f01010000");
    expect(decodeOpening(encodeOpening(first))).toEqual(first);
  });

  it.each(["accepted", "unknown", "refused", "stale", "full"] as const)("an answer has these bytes: %s", (verdict) => {
    const answer = { verdict, attempt: 4, silenceMs: 250, received: 258 };
    const number = { accepted: "01", unknown: "02", refused: "03", stale: "04", full: "05" }[verdict satisfies Verdict];
    expect(toHex(encodeAnswer(answer))).toBe(`5046524101${number}000004000000fa0000000201000000000000`);
    expect(encodeAnswer(answer).length).toBe(ANSWER_BYTES);
    expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer);
  });

  it("an opening's token is a copy", () => {
    const bytes = encodeOpening(OPENING);
    const { token } = decodeOpening(bytes);
    bytes.fill(0);
    expect(token).toEqual(TOKEN);
  });

  it.each<[string, number, number]>([
    ["another magic", 0, 0x51],
    ["another version", 4, 2],
    ["no intent", 5, 0],
    ["an unknown intent", 5, 3],
    ["a reserved byte", 6, 1],
    ["a reserved byte", 7, 1],
    ["a number above 2^53", 23, 1],
  ])("refuses an opening with %s (byte %i)", (_, at, value) => {
    const bytes = encodeOpening(OPENING);
    bytes[at] = value;
    expect(() => decodeOpening(bytes)).toThrow(error("message-malformed"));
  });

  it("refuses a session that is new and has received something, a too short silence, and an unknown answer", () => {
    expect(() => decodeOpening(encodeOpening({ ...OPENING, isNew: true }))).toThrow(error("message-malformed"));
    const silenceMs = SILENCE_MIN_MS - 1;
    expect(() => decodeOpening(encodeOpening({ ...OPENING, silenceMs }))).toThrow(error("message-malformed"));
    const answer = encodeAnswer({ verdict: "full", attempt: 0, silenceMs: 100, received: 0 });
    for (const kind of [0, 6]) {
      answer[5] = kind;
      expect(() => decodeAnswer(answer)).toThrow(error("message-malformed"));
    }
  });
});

describe("frames of a resumable connection", () => {
  it("have these bytes", () => {
    expect(toHex(data(2 ** 32 + 1, Uint8Array.of(7, 8)))).toBe("01000000020000000100000001000000" + "0708");
    expect(toHex(encodeControl(ResumeType.ack, 0x800000, 513))).toBe("02000000000080000102000000000000");
    expect(toHex(encodeControl(ResumeType.end, 0, 2))).toBe("03000000000000000200000000000000");
    expect(toHex(encodeControl(ResumeType.done))).toBe("04000000000000000000000000000000");
    expect(toHex(encodeControl(ResumeType.abort))).toBe("05000000000000000000000000000000");
    expect(toHex(encodeControl(ResumeType.ping))).toBe("06000000000000000000000000000000");
  });

  it("come out as they went in, however the stream is cut", () => {
    const control = fc.record({
      type: fc.constantFrom(ResumeType.ack, ResumeType.end),
      number: fc.maxSafeNat(),
    });
    const frames = fc.array(fc.oneof(control, fc.uint8Array({ minLength: 1, maxLength: 50 })));
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, lengths) => {
        const pieces: Uint8Array[] = [];
        const whole: number[] = [];
        const controls: { type: number; number: number }[] = [];
        for (const frame of sent) {
          if (frame instanceof Uint8Array) {
            pieces.push(data(whole.length, frame));
            whole.push(...frame);
          } else {
            pieces.push(encodeControl(frame.type, 0, frame.number));
            controls.push(frame);
          }
        }
        let received = 0;
        const gotControls: { type: number; number: number }[] = [];
        for (const { type, number, size, data: bytes } of read(concat(pieces), lengths)) {
          if (type !== ResumeType.data) {
            gotControls.push({ type, number });
            continue;
          }
          expect([number, size]).toEqual([received, bytes.length]);
          expect(bytes.length).toBeGreaterThan(0);
          expect([...bytes]).toEqual(whole.slice(received, received + bytes.length));
          received += bytes.length;
        }
        expect(received).toBe(whole.length);
        expect(gotControls).toEqual(controls);
      }),
    );
  });

  it("are refused where they do not keep to the shape", () => {
    const changed = (frame: Uint8Array, at: number, value: number): Uint8Array => {
      frame[at] = value;
      return frame;
    };
    const ping = (): Uint8Array => encodeControl(ResumeType.ping);
    for (const type of [0, 7, 255]) expect(() => read(changed(ping(), 0, type))).toThrow(error("frame-unknown"));
    for (const at of [1, 2, 3, 4, 8, 15])
      expect(() => read(changed(ping(), at, 1))).toThrow(error("message-malformed"));
    expect(() => read(encodeControl(ResumeType.end, 1, 0))).toThrow(error("message-malformed"));
    expect(() => read(encodeControl(ResumeType.done, 0, 1))).toThrow(error("message-malformed"));
    expect(() => read(data(0, new Uint8Array(0)))).toThrow(error("message-malformed"));
    expect(() => read(changed(encodeControl(ResumeType.end), 15, 1))).toThrow(error("message-malformed"));
  });

  it("may have so many bytes of data and no more, which is known from the header", () => {
    expect(read(data(0, new Uint8Array(DATA_MAX_BYTES)))).toHaveLength(1);
    const header = new Uint8Array(RESUME_HEADER_BYTES);
    writeResumeHeader(header, ResumeType.data, DATA_MAX_BYTES + 1, 0);
    expect(() => read(header)).toThrow(error("frame-too-large"));
  });

  it("give data while it comes, as a view of it", () => {
    const frame = data(100, Uint8Array.of(1, 2, 3, 4, 5));
    const reader = new ResumeReader();
    const first = frame.subarray(0, RESUME_HEADER_BYTES + 2);
    reader.push(first);
    const part = reader.next();
    expect(part).toMatchObject({ type: ResumeType.data, number: 100, size: 2 });
    expect(part?.data.buffer).toBe(frame.buffer);
    expect(reader.next()).toBeUndefined();
    reader.push(frame.subarray(first.length));
    expect(reader.next()).toMatchObject({ number: 102, size: 3 });
  });
});
