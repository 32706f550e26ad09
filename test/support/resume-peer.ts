import type { Connection } from "../../src/transport/connection.js";
import {
  ANSWER_BYTES,
  type Answer,
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
  writeResumeHeader,
} from "../../src/wire/resume.js";

/** The other end of a link, played by hand: it does only what a test says. */
export class ResumePeer {
  readonly connection: Connection;
  readonly #reader = new ResumeReader();
  #rest: Uint8Array = new Uint8Array(0);

  constructor(connection: Connection) {
    this.connection = connection;
  }

  async readOpening(): Promise<Opening> {
    return decodeOpening(await this.#read(OPENING_BYTES));
  }

  async readAnswer(): Promise<Answer> {
    return decodeAnswer(await this.#read(ANSWER_BYTES));
  }

  sendOpening(opening: Partial<Opening>): Promise<void> {
    const whole = { isNew: true, attempt: 1, silenceMs: 10_000, received: 0, token: new Uint8Array(32), ...opening };
    return this.connection.send(encodeOpening(whole));
  }

  sendAnswer(answer: Partial<Answer>): Promise<void> {
    const whole = { verdict: "accepted", attempt: 1, silenceMs: 10_000, received: 0, ...answer } as const;
    return this.connection.send(encodeAnswer(whole));
  }

  /** Accepts as a new session is accepted, with room for a lot. */
  async accept(): Promise<Opening> {
    const opening = await this.readOpening();
    await this.sendAnswer({ attempt: opening.attempt });
    await this.send(ResumeType.ack, 1 << 30, 0);
    return opening;
  }

  send(type: Exclude<ResumeType, 1>, size = 0, number = 0): Promise<void> {
    return this.connection.send(encodeControl(type, size, number));
  }

  sendData(number: number, ...bytes: number[]): Promise<void> {
    const frame = new Uint8Array(RESUME_HEADER_BYTES + bytes.length);
    writeResumeHeader(frame, ResumeType.data, bytes.length, number);
    frame.set(bytes, RESUME_HEADER_BYTES);
    return this.connection.send(frame);
  }

  /** The next frame, or part of one; undefined at the end. */
  async next(): Promise<ResumePart | undefined> {
    for (;;) {
      const part = this.#reader.next();
      if (part !== undefined) return part;
      const bytes = this.#rest.length > 0 ? this.#rest : await this.connection.receive();
      this.#rest = new Uint8Array(0);
      if (bytes === undefined) return undefined;
      this.#reader.push(bytes);
    }
  }

  /** The next frame of this type; others are passed over. */
  async nextOf(type: ResumeType): Promise<ResumePart> {
    for (;;) {
      const part = await this.next();
      if (part === undefined) throw new Error(`The link ended before a frame of type ${type}`);
      if (part.type === type) return part;
    }
  }

  async #read(length: number): Promise<Uint8Array> {
    while (this.#rest.length < length) {
      const bytes = await this.connection.receive();
      if (bytes === undefined) throw new Error(`The link ended after ${this.#rest.length} of ${length} bytes`);
      this.#rest = Buffer.concat([this.#rest, bytes]);
    }
    const bytes = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return bytes;
  }
}
