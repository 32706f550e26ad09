import { encodeControl, type ResumePart, ResumeReader, ResumeType } from "../wire/resume.js";
import { lostError } from "./check.js";
import { type Connection, sendSteady } from "./connection.js";
import { TransportError } from "./errors.js";
import { wrong } from "./resumable-incoming.js";

/** Silence is noticed to a quarter of its time. */
const TICKS_OF_SILENCE = 4;
/** The most time that last words and an orderly end take. */
const FAREWELL_MS = 1000;

/** What a link is the link of. */
export interface LinkOwner {
  /** The next frame to send; undefined where there is none at the moment. */
  nextFrame(): Uint8Array | undefined;
  /** Takes what has come. What it throws breaks the link. */
  takePart(part: ResumePart): void;
  /** Resolves when more may be taken. */
  drained(): Promise<void>;
  /** The link is broken, by itself: not by {@link Link.drop} or {@link Link.leave}. */
  linkLost(reason: Error): void;
}

/** How much silence this side and the other one bear, in ms. */
export interface Silence {
  readonly ownMs: number;
  readonly peerMs: number;
}

/** One inner connection of a resumable one, from the end of its opening until it breaks. */
export class Link {
  readonly #inner: Connection;
  readonly #owner: LinkOwner;
  readonly #reader = new ResumeReader();
  readonly #reading: Promise<void>;
  readonly #ticking: ReturnType<typeof setInterval>;
  readonly #mostQuietTicks: number;
  #isOver = false;
  #isSending = false;
  #isHeld = false;
  #hasHeard = true;
  #hasSent = false;
  #quietTicks = 0;

  /** `first`: bytes that came behind the opening. The link reads and sends from now on. */
  constructor(inner: Connection, first: Uint8Array, owner: LinkOwner, { ownMs, peerMs }: Silence) {
    this.#inner = inner;
    this.#owner = owner;
    const tickMs = Math.min(ownMs, peerMs) / TICKS_OF_SILENCE;
    this.#mostQuietTicks = Math.ceil(ownMs / tickMs);
    this.#ticking = setInterval(() => this.#tick(ownMs), tickMs);
    this.#reading = this.#read(first);
    // Its failure is told to the owner, or nobody's business any more.
    this.#reading.catch(() => {});
  }

  /** Sends what the owner has, unless it is doing so. */
  wake(): void {
    if (!this.#isSending && !this.#isOver) this.#send();
  }

  /** Breaks the inner connection. */
  drop(reason: Error): void {
    this.#end();
    this.#inner.abort(reason);
  }

  /** Sends last words, ends the inner connection in order and waits for the other side to do the same; but not for long. */
  leave(last?: Uint8Array): void {
    this.#end();
    takeLeave(this.#inner, this.#reading, last);
  }

  async #send(): Promise<void> {
    this.#isSending = true;
    try {
      for (let frame = this.#owner.nextFrame(); frame !== undefined; frame = this.#owner.nextFrame()) {
        this.#hasSent = true;
        await sendSteady(this.#inner, frame);
        if (this.#isOver) return;
      }
    } catch (error) {
      this.#lose(error as Error);
    }
    this.#isSending = false;
  }

  async #read(first: Uint8Array): Promise<void> {
    try {
      // Not before the owner knows this link.
      await Promise.resolve();
      for (let bytes: Uint8Array | undefined = first; bytes !== undefined; bytes = await this.#inner.receive()) {
        this.#hasHeard = true;
        this.#take(bytes);
        if (this.#isOver) continue;
        this.#isHeld = true;
        // Where the owner has failed, the link is over too.
        await this.#owner.drained().catch(() => {});
        this.#isHeld = false;
      }
    } catch (error) {
      this.#lose(error as Error);
      throw error;
    }
    // A process that dies ends its connections too: it is no close.
    this.#lose(lostError());
  }

  #take(bytes: Uint8Array): void {
    this.#reader.push(bytes);
    while (!this.#isOver) {
      const part = this.#reader.next();
      if (part === undefined) return;
      this.#owner.takePart(part);
    }
  }

  /** Counts its own ticks, not the time: where this process was held up, the other side was not silent. */
  #tick(silenceMs: number): void {
    this.#quietTicks = this.#hasHeard || this.#isHeld ? 0 : this.#quietTicks + 1;
    this.#hasHeard = false;
    if (this.#quietTicks >= this.#mostQuietTicks) this.#lose(wrong(`has been silent for ${silenceMs} ms`));
    else if (!this.#hasSent && !this.#isSending) this.#ping();
    this.#hasSent = false;
  }

  #ping(): void {
    this.#inner.send(encodeControl(ResumeType.ping)).catch((error) => this.#lose(error));
  }

  #lose(reason: Error): void {
    if (this.#isOver) return;
    this.drop(reason);
    this.#owner.linkLost(reason);
  }

  #end(): void {
    this.#isOver = true;
    clearInterval(this.#ticking);
  }
}

/** Sends last words, ends a connection in order and waits until it has been read to its end; breaks it where that takes long. */
export function takeLeave(inner: Connection, reading: Promise<void>, last?: Uint8Array): void {
  const sayGoodbye = async (): Promise<void> => {
    if (last !== undefined) await inner.send(last);
    await inner.close();
  };
  const over = new TransportError("connection-lost", "The connection did not end in time.");
  const timer = setTimeout(() => inner.abort(over), FAREWELL_MS);
  Promise.all([sayGoodbye(), reading])
    .catch(() => inner.abort(over))
    .finally(() => clearTimeout(timer));
}
