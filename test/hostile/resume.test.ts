import { describe, expect, it } from "vitest";
import type { Connection } from "../../src/transport/connection.js";
import { TransportError } from "../../src/transport/errors.js";
import { connectionPair } from "../../src/transport/pair.js";
import { resumableConnect } from "../../src/transport/resumable.js";
import { ResumableAcceptor } from "../../src/transport/resumable-acceptor.js";
import { WireError } from "../../src/wire/errors.js";
import {
  ANSWER_BYTES,
  DATA_MAX_BYTES,
  decodeAnswer,
  decodeOpening,
  encodeAnswer,
  encodeControl,
  encodeOpening,
  OPENING_BYTES,
  RESUME_HEADER_BYTES,
  ResumeReader,
  ResumeType,
  writeResumeHeader,
} from "../../src/wire/resume.js";
import { Random } from "../support/random.js";

/** Cases in each of the runs. `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 50_000);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261129");
/** What a side says that it has room for at the start. */
const WINDOW_BYTES = 8 << 20;
const over = new Error("the case is over");

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

/** The frames of one direction as a good side could send them; sometimes with a wrong header among them. */
function framesOf(random: Random): Uint8Array[] {
  const frames: Uint8Array[] = [encodeControl(ResumeType.ack, random.below(1 << 24), 0)];
  let number = 0;
  for (let left = random.below(8); left > 0; left--) {
    const data = random.bytes(1 + random.below(60));
    const frame = new Uint8Array(RESUME_HEADER_BYTES + data.length);
    writeResumeHeader(frame, ResumeType.data, data.length, number);
    frame.set(data, RESUME_HEADER_BYTES);
    number += data.length;
    frames.push(frame);
    if (random.below(4) === 0) frames.push(encodeControl(ResumeType.ping));
  }
  if (random.below(2) === 0) frames.push(encodeControl(ResumeType.end, 0, number));
  if (random.below(8) === 0) frames.push(encodeControl(random.below(2) === 0 ? ResumeType.done : ResumeType.abort));
  if (random.below(4) === 0) {
    const type = (1 + random.below(7)) as ResumeType;
    const size = [0, 1, DATA_MAX_BYTES, DATA_MAX_BYTES + 1, 2 ** 32 - 1][random.below(5)] as number;
    const wrong = [0, 1, number, number + 1, 2 ** 32, 2 ** 53 - 1][random.below(6)] as number;
    const header = new Uint8Array(RESUME_HEADER_BYTES);
    writeResumeHeader(header, type, size, wrong);
    frames.splice(random.below(frames.length + 1), 0, header);
  }
  return frames;
}

/** Mutated mostly, in its beginning as in its frames, and sometimes whole. */
function streamOf(random: Random, greeting: Uint8Array): Uint8Array {
  const frames = Buffer.concat(framesOf(random));
  const kind = random.below(8);
  if (kind === 0) return Buffer.concat([greeting, frames]);
  if (kind <= 2) return Buffer.concat([random.mutate(greeting), frames]);
  return Buffer.concat([greeting, random.mutate(frames)]);
}

/** What arrives of a stream of frames, read plainly: the bytes up to the first fault. */
function plainRead(stream: Uint8Array): Uint8Array {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const received: number[] = [];
  let isEnded = false;
  for (let at = 0; at + RESUME_HEADER_BYTES <= stream.length; ) {
    const [head, size, low, high] = [0, 4, 8, 12].map((offset) => view.getUint32(at + offset, true));
    const number = (high as number) * 2 ** 32 + (low as number);
    at += RESUME_HEADER_BYTES;
    if (!Number.isSafeInteger(number)) break;
    if (head === ResumeType.data) {
      const data = stream.subarray(at, at + (size as number));
      at += data.length;
      const hasEnded = size === 0 || (size as number) > DATA_MAX_BYTES || isEnded || number !== received.length;
      if (hasEnded) break;
      received.push(...data);
    } else if (head === ResumeType.ack) {
      // Nothing is sent in the other direction.
      if (number !== 0) break;
    } else if (head === ResumeType.end) {
      if (size !== 0 || isEnded || number !== received.length) break;
      isEnded = true;
    } else if (head !== ResumeType.ping || size !== 0 || number !== 0) {
      break;
    }
  }
  return Uint8Array.from(received);
}

/** A connection, and what it gives to its reader. */
class Reading {
  readonly connection: Connection;
  readonly #bytes: number[] = [];
  #isLost = false;

  constructor(connection: Connection) {
    this.connection = connection;
    this.#read().catch(() => {
      this.#isLost = true;
    });
  }

  /** Expects that just these bytes came; or, where the other side has broken the connection off, the first of them. */
  expect(expected: Uint8Array, name: string): void {
    const bytes = Uint8Array.from(this.#bytes);
    const due = this.#isLost ? expected.subarray(0, bytes.length) : expected;
    if (Buffer.compare(bytes, due) !== 0) expect.fail(`${name}: ${bytes.length} bytes where ${due.length} were right`);
  }

  async #read(): Promise<void> {
    for (let chunk = await this.connection.receive(); chunk !== undefined; chunk = await this.connection.receive()) {
      this.#bytes.push(...chunk);
    }
  }
}

/** Sends the stream in pieces as they may come, and then ends or breaks the connection; resolves when the other side has let go of it too. */
async function playStream(connection: Connection, stream: Uint8Array, random: Random): Promise<void> {
  for (let at = 0; at < stream.length; ) {
    const length = 1 + random.below(random.below(2) === 0 ? 30 : 1000);
    // Where it has been broken off, nothing more needs to be said.
    await connection.send(stream.subarray(at, at + length)).catch(() => {});
    at += length;
  }
  await connection.close().catch(() => {});
  try {
    while ((await connection.receive()) !== undefined);
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    if (error.code !== "connection-lost") expect.fail(error.code);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe(`mutated streams of resumable connections from seed ${SEED}`, () => {
  it(`${CASES} of them are read as what they are, or refused, and nothing is kept`, () => {
    const random = new Random(SEED);
    let faults = 0;
    for (let done = 0; done < CASES; done++) {
      const stream = random.mutate(Buffer.concat(framesOf(random)));
      const reader = new ResumeReader();
      let dataBytes = 0;
      try {
        for (let at = 0; at < stream.length; ) {
          const piece = stream.subarray(at, at + 1 + random.below(40));
          at += piece.length;
          reader.push(piece);
          for (let part = reader.next(); part !== undefined; part = reader.next()) {
            if (part.data.length > 0 && part.data.buffer !== stream.buffer) expect.fail(`case ${done}: a copy`);
            dataBytes += part.data.length;
          }
        }
      } catch (error) {
        if (!(error instanceof WireError) || error.message.length > 300) throw error;
        faults++;
      }
      if (dataBytes > stream.length) expect.fail(`case ${done}: ${dataBytes} of ${stream.length} bytes`);
      for (const [decode, length] of [
        [decodeOpening, OPENING_BYTES],
        [decodeAnswer, ANSWER_BYTES],
      ] as const) {
        const bytes = random.bytes(length);
        bytes.set([0x50, 0x46, 0x52, length === OPENING_BYTES ? 0x4f : 0x41, 1, random.below(8), 0, 0]);
        try {
          decode(bytes);
        } catch (error) {
          if (!(error instanceof WireError) || error.code !== "message-malformed") throw error;
        }
      }
    }
    expect(faults).toBeGreaterThan(CASES / 4);
    expect(faults).toBeLessThan(CASES);
  });

  it(`${CASES / 2} of them meet an acceptor: it passes on what is right and lets go of the rest`, async () => {
    const random = new Random(SEED + 1);
    let reading: Reading | undefined;
    const acceptor = new ResumableAcceptor({}, (session) => {
      reading = new Reading(session);
    });
    let accepted = 0;
    for (let done = 0; done < CASES / 2; done++) {
      const [here, there] = connectionPair();
      acceptor.accept(there);
      const isNew = random.below(10) > 0;
      const opening = encodeOpening({ isNew, attempt: 1, silenceMs: 60_000, received: 0, token: random.bytes(32) });
      const stream = streamOf(random, opening);
      await playStream(here, stream, random);
      await turn();
      if (reading === undefined) continue;
      accepted++;
      reading.expect(plainRead(stream.subarray(OPENING_BYTES)), `case ${done}`);
      reading.connection.abort(over);
      reading = undefined;
    }
    expect(accepted).toBeGreaterThan(CASES / 4);
    expect(accepted).toBeLessThan(CASES / 2);
  });

  it(`${CASES / 2} of them answer who connects: it passes on what is right, or tells what is wrong`, async () => {
    const random = new Random(SEED + 2);
    let accepted = 0;
    for (let done = 0; done < CASES / 2; done++) {
      const [here, there] = connectionPair();
      const answer = encodeAnswer({ verdict: "accepted", attempt: 1, silenceMs: 60_000, received: 0 });
      const stream = streamOf(random, answer);
      const playing = playStream(there, stream, random);
      let dials = 0;
      const dial = async (): Promise<Connection> => {
        dials++;
        if (dials === 1) return here;
        throw over;
      };
      const session = await resumableConnect(dial).catch((error: TransportError) => error);
      if (session instanceof Error) {
        if (session.code !== "connect-failed" || session.message.length > 300) throw session;
      } else {
        accepted++;
        const reading = new Reading(session);
        await playing;
        await turn();
        reading.expect(plainRead(stream.subarray(ANSWER_BYTES)), `case ${done}`);
        session.abort(over);
      }
      await playing;
    }
    expect(accepted).toBeGreaterThan(CASES / 4);
    expect(accepted).toBeLessThan(CASES / 2);
  });

  it("what nobody reads stays within its limit, in large pieces and in tiny ones", async () => {
    for (const pieceBytes of [1, 1000, DATA_MAX_BYTES]) {
      const [here, there] = connectionPair();
      const arriving = new Promise<Connection>((resolve) => new ResumableAcceptor({}, resolve).accept(there));
      await here.send(
        encodeOpening({ isNew: true, attempt: 1, silenceMs: 60_000, received: 0, token: new Uint8Array(32) }),
      );
      const session = await arriving;
      let sent = 0;
      let isHeld = false;
      while (!isHeld && sent <= 2 * WINDOW_BYTES) {
        const frame = new Uint8Array(RESUME_HEADER_BYTES + pieceBytes);
        writeResumeHeader(frame, ResumeType.data, pieceBytes, sent);
        const sending = here.send(frame).catch(() => {
          isHeld = true;
        });
        if (!(await isOver(sending))) isHeld = true;
        sent += pieceBytes;
      }
      // The window, and what the pair itself holds.
      expect(sent).toBeLessThanOrEqual(WINDOW_BYTES + (2 << 20));
      if (pieceBytes === 1) expect(sent).toBeLessThan(100_000);
      session.abort(over);
      here.abort(over);
    }
  });
});

/** Whether a promise has settled; gives others their turn. */
async function isOver(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return (
    (await Promise.race([
      promise.then(
        () => {},
        () => {},
      ),
      turn().then(() => pending),
    ])) !== pending
  );
}
