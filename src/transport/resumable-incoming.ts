import { encodeControl, ResumeType } from "../wire/resume.js";
import { ByteQueue } from "./byte-queue.js";
import { TransportError } from "./errors.js";

/** The other side may send so much that nobody has taken here: bandwidth times round trip of a fast and far link. */
const WINDOW_BYTES: number = 8 << 20;
/** What the unread pieces may cost, the window and what they need besides their bytes: only a sender of very small pieces comes there. */
const QUEUE_BYTES: number = 2 * WINDOW_BYTES;
/** So much is acknowledged at once, less of it a moment later; … */
const ACKNOWLEDGE_BYTES: number = 128 << 10;
/** … so much room is told at once. */
const ROOM_BYTES: number = WINDOW_BYTES / 4;

/** What one side of a resumable connection receives: in order, each byte once, and acknowledged. */
export class Incoming {
  readonly #queue: ByteQueue;
  readonly #onRoom: () => void;
  #received = 0;
  #taken = 0;
  /** What the other side knows: of what was received, and of how far it may send. */
  #acknowledged = 0;
  #limit = 0;
  #isAckAsked = false;

  /** `onRoom` is called when there is room that the other side should hear of. */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
    this.#queue = new ByteQueue(QUEUE_BYTES, (chunk) => this.#take(chunk));
  }

  /** The number up to which everything is here, with the end as one byte. */
  get received(): number {
    return this.#received;
  }

  /** Whether the other side's end has come. */
  get isEnded(): boolean {
    return this.#queue.isEnded;
  }

  /** Whether something was received that was not acknowledged. */
  get isBehind(): boolean {
    return this.#received > this.#acknowledged;
  }

  get isAckDue(): boolean {
    return this.#isAckAsked || this.#received - this.#acknowledged >= ACKNOWLEDGE_BYTES || this.#hasRoomToTell;
  }

  /** Has the next acknowledgement sent without waiting for more. */
  askForAck(): void {
    this.#isAckAsked = true;
  }

  /** The acknowledgement, as a frame. */
  ack(): Uint8Array {
    this.#isAckAsked = false;
    this.#acknowledged = this.#received;
    this.#limit = this.#taken + WINDOW_BYTES;
    return encodeControl(ResumeType.ack, Math.max(0, this.#limit - this.#received), this.#received);
  }

  /** Takes data that has come. Throws `connection-lost` where it is not what comes next, or there is no room for it. */
  push(number: number, data: Uint8Array): void {
    this.#checkNext(number);
    if (number + data.length > this.#limit) throw wrong("sent more than there is room for");
    this.#received += data.length;
    // A piece of a chunk must neither share its memory with the other pieces nor keep all of it.
    const isMost = data.length * 2 > data.buffer.byteLength;
    this.#queue.push(isMost ? data : new Uint8Array(data));
  }

  /** Takes the end. Throws `connection-lost` where it does not come next. */
  end(number: number): void {
    this.#checkNext(number);
    this.#received += 1;
    this.#queue.end();
    this.askForAck();
  }

  /** The next chunk for the reader. */
  take(): Promise<Uint8Array | undefined> {
    return this.#queue.take();
  }

  /** Resolves when more may be read from the link: at once, as long as the pieces are not very small. */
  drained(): Promise<void> {
    return this.#queue.drained();
  }

  /** Rejects what waits, and everything later. */
  fail(reason: Error): void {
    this.#queue.fail(reason);
  }

  get #hasRoomToTell(): boolean {
    return !this.isEnded && this.#taken + WINDOW_BYTES - this.#limit >= ROOM_BYTES;
  }

  #take(chunk: Uint8Array): void {
    this.#taken += chunk.length;
    if (this.#hasRoomToTell) this.#onRoom();
  }

  #checkNext(number: number): void {
    if (this.isEnded) throw wrong("sent something after its end");
    if (number !== this.#received) throw wrong(`sent number ${number} where ${this.#received} was due`);
  }
}

/** What ends a link, but not the connection. */
export function wrong(what: string): TransportError {
  return new TransportError("connection-lost", `The other side of a resumable connection ${what}.`);
}
