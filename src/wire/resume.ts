import { WireError } from "./errors.js";

/*
 * What goes over the inner connections of a resumable one. First an opening from the side that connects, and an answer:
 *
 *     opening                                              answer
 *      0  "PFRO"                                            0  "PFRA"
 *      4  u8   version: 1                                   4  u8   version: 1
 *      5  u8   1 a new session, 2 resume one                5  u8   1 accepted, 2 unknown, 3 refused, 4 stale, 5 full
 *      6  u16  0                                            6  u16  0
 *      8  u32  number of the attempt                        8  u32  number of the newest attempt
 *     12  u32  ms of silence that this side bears          12  u32  ms of silence that this side bears
 *     16  u64  received so far                             16  u64  received so far
 *     24  32 bytes token of the session                    24
 *     56
 *
 * Then frames, in both directions:
 *
 *     0  u8   type
 *     1  u8   0
 *     2  u16  0
 *     4  u32  size
 *     8  u64  number
 *    16       data: the bytes
 *
 *     type       size                          number
 *     1 data     bytes that follow, from 1     of the first byte
 *     2 ack      window, see number            received so far; numbers below this plus the window may be sent
 *     3 end      0                             of the end, which counts as one byte
 *     4 done     0                             0
 *     5 abort    0                             0
 *     6 ping     0                             0
 *
 * The bytes of each direction are numbered from 0 over all inner connections. All numbers are little-endian.
 */
export const OPENING_BYTES = 56;
export const ANSWER_BYTES = 24;
export const TOKEN_BYTES = 32;
export const RESUME_HEADER_BYTES = 16;
/** The most bytes of one data frame. */
export const DATA_MAX_BYTES: number = 128 << 10;
/** No side may ask for signs of life more often than this allows. */
export const SILENCE_MIN_MS = 100;

const VERSION = 1;
const OPENING_MAGIC = 0x4f524650;
const ANSWER_MAGIC = 0x41524650;
const NEW = 1;
const RESUME = 2;

/** The first bytes of the side that connects. */
export interface Opening {
  readonly isNew: boolean;
  /** Newer attempts have higher numbers: odd ones of the side that opened the session, even ones of the other. */
  readonly attempt: number;
  /** The other side is to let something hear of it more often than this. */
  readonly silenceMs: number;
  readonly received: number;
  /** {@link TOKEN_BYTES} bytes. */
  readonly token: Uint8Array;
}

/** What becomes of an opening: `stale` is an attempt that a newer one has overtaken, `full` a place with too many sessions. */
export type Verdict = "accepted" | "unknown" | "refused" | "stale" | "full";
const VERDICTS: readonly Verdict[] = ["accepted", "unknown", "refused", "stale", "full"];

/** The first bytes of the side that accepts. */
export interface Answer {
  readonly verdict: Verdict;
  readonly attempt: number;
  readonly silenceMs: number;
  readonly received: number;
}

export function encodeOpening({ isNew, attempt, silenceMs, received, token }: Opening): Uint8Array {
  const bytes = new Uint8Array(OPENING_BYTES);
  writeGreeting(bytes, OPENING_MAGIC, isNew ? NEW : RESUME, attempt, silenceMs, received);
  bytes.set(token, ANSWER_BYTES);
  return bytes;
}

/** Reads {@link OPENING_BYTES} bytes. Throws `message-malformed`. */
export function decodeOpening(bytes: Uint8Array): Opening {
  const { kind, ...greeting } = readGreeting(bytes, OPENING_MAGIC);
  if (kind !== NEW && kind !== RESUME) throw malformed("asks for something unknown");
  const isNew = kind === NEW;
  if (isNew && greeting.received !== 0) throw malformed("has received something in a session that is new");
  return { isNew, ...greeting, token: new Uint8Array(bytes.subarray(ANSWER_BYTES, OPENING_BYTES)) };
}

export function encodeAnswer({ verdict, attempt, silenceMs, received }: Answer): Uint8Array {
  const bytes = new Uint8Array(ANSWER_BYTES);
  writeGreeting(bytes, ANSWER_MAGIC, VERDICTS.indexOf(verdict) + 1, attempt, silenceMs, received);
  return bytes;
}

/** Reads {@link ANSWER_BYTES} bytes. Throws `message-malformed`. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const { kind, ...greeting } = readGreeting(bytes, ANSWER_MAGIC);
  const verdict = VERDICTS[kind - 1];
  if (verdict === undefined) throw malformed("answers something unknown");
  return { verdict, ...greeting };
}

/** The types of frames. */
export const ResumeType: {
  readonly data: 1;
  readonly ack: 2;
  readonly end: 3;
  readonly done: 4;
  readonly abort: 5;
  readonly ping: 6;
} = Object.freeze({ data: 1, ack: 2, end: 3, done: 4, abort: 5, ping: 6 });
export type ResumeType = (typeof ResumeType)[keyof typeof ResumeType];

/** Writes the header of a frame over the first {@link RESUME_HEADER_BYTES} bytes. */
export function writeResumeHeader(into: Uint8Array, type: ResumeType, size: number, number: number): void {
  const view = new DataView(into.buffer, into.byteOffset, RESUME_HEADER_BYTES);
  view.setUint32(0, type, true);
  view.setUint32(4, size, true);
  writeNumber(view, 8, number);
}

/** A frame without bytes behind its header. */
export function encodeControl(type: Exclude<ResumeType, 1>, size = 0, number = 0): Uint8Array {
  const bytes = new Uint8Array(RESUME_HEADER_BYTES);
  writeResumeHeader(bytes, type, size, number);
  return bytes;
}

/** A frame, or as much of a data frame as has come: the number is then that of the part's first byte. */
export interface ResumePart {
  readonly type: ResumeType;
  readonly size: number;
  readonly number: number;
  /** Of data; a view of the bytes that were pushed. */
  readonly data: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** Takes bytes as they come and gives frames; of data what there is, so that it keeps nothing. After an error it is of no use any more. */
export class ResumeReader {
  readonly #header = new Uint8Array(RESUME_HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);
  #headerBytes = 0;
  #dataLeftBytes = 0;
  #dataNumber = 0;
  #input: Uint8Array = NOTHING;

  /** Gives the reader the next bytes. All bytes before must have been taken. */
  push(bytes: Uint8Array): void {
    this.#input = bytes;
  }

  /** The next frame or part of one, or undefined where more bytes are needed. Throws `frame-unknown`, `frame-too-large`, `message-malformed`. */
  next(): ResumePart | undefined {
    if (this.#dataLeftBytes === 0) {
      const count = Math.min(RESUME_HEADER_BYTES - this.#headerBytes, this.#input.length);
      this.#header.set(this.#input.subarray(0, count), this.#headerBytes);
      this.#input = this.#input.subarray(count);
      this.#headerBytes += count;
      if (this.#headerBytes < RESUME_HEADER_BYTES) return undefined;
      this.#headerBytes = 0;
      const part = this.#begin();
      if (part.type !== ResumeType.data) return part;
      this.#dataLeftBytes = part.size;
      this.#dataNumber = part.number;
    }
    if (this.#input.length === 0) return undefined;
    const data = this.#input.subarray(0, this.#dataLeftBytes);
    const number = this.#dataNumber;
    this.#input = this.#input.subarray(data.length);
    this.#dataLeftBytes -= data.length;
    this.#dataNumber += data.length;
    return { type: ResumeType.data, size: data.length, number, data };
  }

  #begin(): ResumePart {
    const type = this.#view.getUint8(0) as ResumeType;
    const size = this.#view.getUint32(4, true);
    const number = readNumber(this.#view, 8);
    if (type < ResumeType.data || type > ResumeType.ping) {
      throw new WireError("frame-unknown", `The peer sent a frame of the unknown type ${type}.`);
    }
    if (this.#view.getUint32(0, true) !== type) throw malformed("has a reserved byte that is not 0");
    if (type === ResumeType.data) {
      if (size > DATA_MAX_BYTES) {
        throw new WireError(
          "frame-too-large",
          `A frame announces ${size} bytes; at most ${DATA_MAX_BYTES} are allowed.`,
        );
      }
      if (size === 0) throw malformed("has no data");
    } else if ((type !== ResumeType.ack && size !== 0) || (type >= ResumeType.done && number !== 0)) {
      throw malformed("has a number where none belongs");
    }
    return { type, size, number, data: NOTHING };
  }
}

function writeGreeting(
  into: Uint8Array,
  magic: number,
  kind: number,
  attempt: number,
  silenceMs: number,
  received: number,
): void {
  const view = new DataView(into.buffer);
  view.setUint32(0, magic, true);
  view.setUint8(4, VERSION);
  view.setUint8(5, kind);
  view.setUint32(8, attempt, true);
  view.setUint32(12, silenceMs, true);
  writeNumber(view, 16, received);
}

function readGreeting(
  bytes: Uint8Array,
  magic: number,
): { kind: number; attempt: number; silenceMs: number; received: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== magic) throw malformed("is none of a resumable connection");
  if (view.getUint8(4) !== VERSION)
    throw malformed(`is of version ${view.getUint8(4)}; this end knows only ${VERSION}`);
  if (view.getUint16(6, true) !== 0) throw malformed("has a reserved byte that is not 0");
  const silenceMs = view.getUint32(12, true);
  if (silenceMs < SILENCE_MIN_MS) throw malformed("bears too short a silence");
  return { kind: view.getUint8(5), attempt: view.getUint32(8, true), silenceMs, received: readNumber(view, 16) };
}

/** Numbers are whole ones that JavaScript can count with: up to 2^53 - 1. */
function writeNumber(view: DataView, at: number, number: number): void {
  view.setUint32(at, number % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(number / 2 ** 32), true);
}

function readNumber(view: DataView, at: number): number {
  const number = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  if (!Number.isSafeInteger(number)) throw malformed("has a number that is too large");
  return number;
}

function malformed(what: string): WireError {
  return new WireError("message-malformed", `What the peer sent on a resumable connection ${what}.`);
}
