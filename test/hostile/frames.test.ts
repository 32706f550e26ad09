import { describe, expect, it } from "vitest";
import { loadChecksum } from "../../src/wire/checksum.js";
import { WireError } from "../../src/wire/errors.js";
import { encodeFrame, FRAME_HEADER_BYTES, type Frame, FrameParser } from "../../src/wire/frame.js";
import { decodeMessage, encodeMessage, FRAME_MAX_BYTES, FrameType, type Messages } from "../../src/wire/messages.js";
import { Random } from "../support/random.js";
import { goldenBytes, goldenLines } from "../wire/golden/golden.js";

/** Cases in each of the two runs. `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 50_000);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261125");
const checksum = await loadChecksum();

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

const MESSAGES = new Map(
  (await goldenLines("messages.txt")).map(([name, text]) => [
    FrameType[name as keyof Messages] as number,
    { name: name as keyof Messages, body: new TextEncoder().encode(text) },
  ]),
);
const OTHERS: readonly Pick<Frame, "type" | "body">[] = [
  { type: FrameType.batch, body: await goldenBytes("batch-lz4.hex") },
  { type: FrameType.base, body: new Random(SEED).bytes(64) },
  { type: FrameType.received, body: new Random(SEED).bytes(8) },
  { type: FrameType.alive, body: new Uint8Array(0) },
  { type: 200, body: new Random(SEED).bytes(30) },
];
const ALL = [...[...MESSAGES].map(([type, { body }]) => ({ type, body })), ...OTHERS];

/** One to four frames of a valid session, in any order. */
function framesOf(random: Random): Frame[] {
  return Array.from({ length: 1 + random.below(4) }, () => {
    return { ...(ALL[random.below(ALL.length)] as (typeof ALL)[number]), channel: random.below(3) };
  });
}

function encode({ type, channel, body }: Frame): Uint8Array {
  return encodeFrame(checksum, type, channel, body);
}

/** The body with a few edits, or with one character that JSON may well have there. */
function mutateBody(body: Uint8Array, random: Random): Uint8Array {
  if (body.length === 0 || random.below(2) === 0) return random.mutate(body);
  const mutated = body.slice();
  const characters = '0123456789abcdef"{}[],:-.\\';
  mutated[random.below(body.length)] = characters.charCodeAt(random.below(characters.length));
  return mutated;
}

/** All frames until the stream's end or its first fault; it comes in chunks as they may come. */
function parse(stream: Uint8Array, random: Random): { readonly frames: readonly Frame[]; readonly isWhole: boolean } {
  const parser = new FrameParser(checksum, FRAME_MAX_BYTES);
  const frames: Frame[] = [];
  try {
    for (let at = 0; at < stream.length; ) {
      const length = 1 + random.below(random.below(2) === 0 ? 12 : 2000);
      parser.push(stream.subarray(at, at + length));
      for (let frame = parser.next(); frame !== undefined; frame = parser.next()) frames.push(frame);
      at += length;
    }
    return { frames, isWhole: !parser.isInsideFrame };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    expect(error.message.length).toBeLessThan(300);
    return { frames, isWhole: false };
  }
}

/** The message in a frame, or undefined where it is refused or the frame is none of a message. */
function messageIn({ type, body }: Frame): Messages[keyof Messages] | undefined {
  const message = MESSAGES.get(type);
  if (message === undefined) return undefined;
  try {
    return decodeMessage(message.name, body);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    if (error.code !== "message-malformed") expect.fail(error.code);
    if (error.message.length > 300) expect.fail(error.message);
    return undefined;
  }
}

function isSame(left: Frame, right: Frame): boolean {
  return left.type === right.type && left.channel === right.channel && Buffer.compare(left.body, right.body) === 0;
}

describe(`mutated frames from seed ${SEED}`, () => {
  it(`${CASES} streams damaged on their way give no frame that was not sent`, () => {
    const random = new Random(SEED);
    let whole = 0;
    for (let done = 0; done < CASES; done++) {
      const sent = framesOf(random);
      const stream = Buffer.concat(sent.map(encode));
      const known = sent.filter(({ type }) => FRAME_MAX_BYTES.has(type));
      const isMutated = random.below(20) > 0;
      const { frames, isWhole } = parse(isMutated ? random.mutate(stream) : stream, random);
      for (const frame of frames) {
        if (!known.some((other) => isSame(frame, other))) expect.fail(`case ${done}: a frame of type ${frame.type}`);
        if (MESSAGES.has(frame.type) && messageIn(frame) === undefined) expect.fail(`case ${done}: no message`);
      }
      if (!isMutated && (frames.length !== known.length || !isWhole)) expect.fail(`case ${done}: frames are missing`);
      if (isWhole) whole++;
    }
    expect(whole).toBeGreaterThan(CASES / 50);
    expect(whole).toBeLessThan(CASES / 2);
  });

  it(`${CASES} bodies and headers mutated by the sender itself are taken for what they are, or refused`, () => {
    const random = new Random(SEED + 1);
    let accepted = 0;
    for (let done = 0; done < CASES; done++) {
      const [original] = framesOf(random) as [Frame];
      let frame = { ...original, body: mutateBody(original.body, random) };
      let bytes = encode(frame);
      if (random.below(4) === 0) {
        // The header says something else, under a checksum that is right for it.
        const view = new DataView(bytes.buffer);
        const at = random.below(8);
        view.setUint8(at, random.below(random.below(2) === 0 ? 256 : 20));
        view.setBigUint64(8, checksum(bytes.subarray(FRAME_HEADER_BYTES), view.getBigUint64(0, true)), true);
        frame = { ...frame, type: view.getUint8(0), channel: view.getUint16(2, true) };
        bytes = Buffer.concat([bytes, random.bytes(random.below(300))]);
      }
      for (const parsed of parse(bytes, random).frames) {
        if (!isSame(parsed, frame)) expect.fail(`case ${done}: type ${parsed.type}, ${parsed.body.length} bytes`);
        if (parsed.body.length > (FRAME_MAX_BYTES.get(parsed.type) ?? -1)) expect.fail(`case ${done}: too long`);
        const message = messageIn(parsed);
        if (message === undefined) continue;
        accepted++;
        const { name } = MESSAGES.get(parsed.type) as { readonly name: keyof Messages };
        expect(decodeMessage(name, encodeMessage(message))).toEqual(message);
      }
    }
    expect(accepted).toBeGreaterThan(CASES / 100);
    expect(accepted).toBeLessThan(CASES / 2);
  });
});
