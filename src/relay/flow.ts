import type { Confirmation } from "../wire/confirmation.js";

/** What may be on its way while nothing is known of the link, and at least and at most in any case. */
const FIRST_LIMIT_BYTES = 1 << 20;
const MIN_LIMIT_BYTES = 256 << 10;
const MAX_LIMIT_BYTES = 4 << 20;
/** So much work lies before the link, beside what is on its way: enough that it never waits, little enough that a page never waits long. */
const AHEAD_SECONDS = 0.03;
/** A rate is taken over at least so many bytes: fewer come in one piece and tell nothing. */
const LEAST_BYTES = 64 << 10;
const NEWEST = 0.3;

/** Keeps just so much on its way over the link as fills it, so that what is urgent does not wait behind what is not. */
export class LinkFlow {
  readonly #onRate: (bytesPerSecond: number) => void;
  readonly #marks: { readonly bytes: number; readonly sentMs: number }[] = [];
  readonly #waiting: (() => void)[] = [];
  #sentBytes = 0;
  #receivedBytes = 0;
  #streamedBytes = 0;
  #streamedMicroseconds = 0;
  #bytesPerSecond = 0;
  #roundTripMs = Number.POSITIVE_INFINITY;

  /** `onRate` is given every rate that is taken. */
  constructor(onRate: (bytesPerSecond: number) => void) {
    this.#onRate = onRate;
  }

  /** Whether more may be sent. */
  get isOpen(): boolean {
    return this.#sentBytes - this.#receivedBytes < this.#limitBytes;
  }

  /** Calls once, when it is open; those who ask take turns. */
  whenOpen(call: () => void): void {
    this.#waiting.push(call);
  }

  /** A data frame of so many bytes goes out. */
  sent(bytes: number): void {
    this.#sentBytes += bytes;
    this.#marks.push({ bytes: this.#sentBytes, sentMs: performance.now() });
  }

  /** The other end has received something. Numbers that run backwards are not believed. */
  received({ bytes, streamedBytes, streamedMicroseconds }: Confirmation): void {
    this.#receivedBytes = Math.max(this.#receivedBytes, Math.min(bytes, this.#sentBytes));
    for (let mark = this.#marks[0]; mark !== undefined && mark.bytes <= this.#receivedBytes; mark = this.#marks[0]) {
      this.#roundTripMs = Math.min(this.#roundTripMs, performance.now() - mark.sentMs);
      this.#marks.shift();
    }
    this.#measure(streamedBytes, streamedMicroseconds);
    while (this.isOpen && this.#waiting.length > 0) this.#waiting.shift()?.();
  }

  get #limitBytes(): number {
    if (this.#bytesPerSecond === 0) return FIRST_LIMIT_BYTES;
    const bytes = this.#bytesPerSecond * (this.#roundTripMs / 1000 + AHEAD_SECONDS);
    return Math.min(Math.max(bytes, MIN_LIMIT_BYTES), MAX_LIMIT_BYTES);
  }

  #measure(streamedBytes: number, streamedMicroseconds: number): void {
    const newBytes = streamedBytes - this.#streamedBytes;
    const newMicroseconds = streamedMicroseconds - this.#streamedMicroseconds;
    if (newBytes < LEAST_BYTES || newMicroseconds < 0) return;
    this.#streamedBytes = streamedBytes;
    this.#streamedMicroseconds = streamedMicroseconds;
    const rate = (newBytes / Math.max(newMicroseconds, 1)) * 1e6;
    this.#bytesPerSecond = this.#bytesPerSecond === 0 ? rate : this.#bytesPerSecond * (1 - NEWEST) + rate * NEWEST;
    this.#onRate(rate);
  }
}
