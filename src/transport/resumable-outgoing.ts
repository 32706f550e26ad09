import { DATA_MAX_BYTES, encodeControl, RESUME_HEADER_BYTES, ResumeType, writeResumeHeader } from "../wire/resume.js";
import { CHUNK_COST_BYTES } from "./byte-queue.js";

/** More than this not yet passed on holds the sender back, so that it feels a slow link and not only a full replay buffer. */
const UNSENT_BYTES = 256 * 1024;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** So many frames are kept for further use: what a link has on its way needs no new memory. */
const MAX_SPARE_FRAMES = 32;
const WHOLE_FRAME_BYTES = RESUME_HEADER_BYTES + DATA_MAX_BYTES;

/** A data frame with what of it has not been received yet. */
interface Entry {
  readonly number: number;
  readonly frame: Uint8Array;
}

/** What one side of a resumable connection sends: numbered, and kept until the other side has received it. */
export class Outgoing {
  readonly #replayBytes: number;
  #entries: Entry[] = [];
  /** Whole frames that were received: nobody reads them any more. */
  readonly #spare: Uint8Array[] = [];
  /** Entries before this one have been received, those before the next one were passed on over the link that there is. */
  #first = 0;
  #next = 0;
  #costBytes = 0;
  #unsentBytes = 0;
  /** Numbers: of the next byte, and up to where may be sent, was passed on over the link, and has been received. */
  #pushed = 0;
  #limit = 0;
  #sent = 0;
  #received = 0;
  #isEnded = false;
  #isEndSent = false;
  #failure: Error | undefined;
  #waiting: Waiter[] = [];
  #closing: Waiter | undefined;

  /** {@link drained} waits while more than `replayBytes` have not been received. */
  constructor(replayBytes: number) {
    this.#replayBytes = replayBytes;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Whether the other side has received everything, and that this is all. */
  get isThrough(): boolean {
    return this.#isEnded && this.#received > this.#pushed;
  }

  /** Takes a snapshot of the bytes, in frames. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += DATA_MAX_BYTES) {
      const part = bytes.subarray(at, at + DATA_MAX_BYTES);
      const isWhole = part.length === DATA_MAX_BYTES;
      const frame = (isWhole && this.#spare.pop()) || new Uint8Array(RESUME_HEADER_BYTES + part.length);
      frame.set(part, RESUME_HEADER_BYTES);
      writeResumeHeader(frame, ResumeType.data, part.length, this.#pushed);
      this.#entries.push({ number: this.#pushed, frame });
      this.#costBytes += part.length + CHUNK_COST_BYTES;
      this.#unsentBytes += part.length + CHUNK_COST_BYTES;
      this.#pushed += part.length;
    }
  }

  /** Resolves when more may be pushed; rejects after {@link fail}. */
  drained(): Promise<void> {
    if (!this.#isFull) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** No more will be pushed. Resolves when the other side has received everything; to be called once. */
  end(): Promise<void> {
    this.#isEnded = true;
    return new Promise((resolve, reject) => {
      this.#closing = { resolve, reject };
    });
  }

  /** The next frame to pass on, as far as the other side has room. */
  next(): Uint8Array | undefined {
    const entry = this.#entries[this.#next];
    if (entry === undefined) return this.#isEnded && !this.#isEndSent ? this.#endFrame() : undefined;
    const bytes = entry.frame.length - RESUME_HEADER_BYTES;
    if (entry.number + bytes > this.#limit) return undefined;
    this.#next += 1;
    this.#sent = entry.number + bytes;
    this.#unsentBytes -= bytes + CHUNK_COST_BYTES;
    this.#wake();
    return entry.frame;
  }

  /** Whether the other side can have received so much, and has not said before that it had more. */
  canHaveReceived(received: number): boolean {
    return received >= this.#received && received <= this.#sent;
  }

  /** The other side has received so much, and has room for as much as the window says. Both are to be checked before. */
  acknowledge(received: number, window: number): void {
    this.#received = received;
    this.#limit = Math.max(this.#limit, received + window);
    for (let entry = this.#entries[this.#first]; entry !== undefined; entry = this.#entries[this.#first]) {
      const bytes = entry.frame.length - RESUME_HEADER_BYTES;
      if (entry.number + bytes > received) break;
      const isSpare = entry.frame.length === WHOLE_FRAME_BYTES && this.#spare.length < MAX_SPARE_FRAMES;
      if (isSpare) this.#spare.push(entry.frame);
      this.#first += 1;
      this.#costBytes -= bytes + CHUNK_COST_BYTES;
    }
    if (this.#first === this.#entries.length || this.#first >= 1024) {
      this.#entries.splice(0, this.#first);
      this.#next -= this.#first;
      this.#first = 0;
    }
    if (this.isThrough) this.#closing?.resolve();
    this.#wake();
  }

  /** A new link: {@link next} goes on behind what was received. */
  rewind(received: number): void {
    this.acknowledge(received, 0);
    this.#next = this.#first;
    this.#sent = received;
    this.#isEndSent = this.isThrough;
    const entry = this.#entries[this.#first];
    if (entry !== undefined && entry.number < received) this.#entries[this.#first] = this.#rest(entry, received);
    this.#unsentBytes = this.#costBytes;
  }

  /** Throws everything away and rejects what waits. */
  fail(reason: Error): void {
    this.#failure ??= reason;
    this.#entries = [];
    this.#spare.length = 0;
    this.#first = this.#next = this.#costBytes = this.#unsentBytes = 0;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
    this.#closing?.reject(this.#failure);
  }

  get #isFull(): boolean {
    return this.#costBytes > this.#replayBytes || this.#unsentBytes > UNSENT_BYTES;
  }

  #wake(): void {
    if (!this.#isFull) for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  #endFrame(): Uint8Array {
    this.#isEndSent = true;
    this.#sent = this.#pushed + 1;
    return encodeControl(ResumeType.end, 0, this.#pushed);
  }

  /** An entry without what was received of it: the new header is written over bytes that nobody needs any more. */
  #rest({ number, frame }: Entry, received: number): Entry {
    const rest = frame.subarray(received - number);
    const bytes = rest.length - RESUME_HEADER_BYTES;
    writeResumeHeader(rest, ResumeType.data, bytes, received);
    this.#costBytes -= received - number;
    return { number: received, frame: rest };
  }
}
