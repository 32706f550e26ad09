/** What may be on its way while nothing is known of the link, and at least and at most in any case. */
const FIRST_LIMIT_BYTES = 1 << 20;
const MIN_LIMIT_BYTES = 256 << 10;
const MAX_LIMIT_BYTES = 16 << 20;
/** So much work lies before the link, beside what is on its way: enough that it never waits, little enough that a page never waits long. */
const AHEAD_MS = 30;
/** The shortest round trip is looked for anew in every such stretch of time, since a link may be resumed over another way. */
const ROUND_TRIP_WINDOW_MS = 30_000;
/** Shorter frames tell nothing about a rate. */
const LEAST_BYTES = 64 << 10;
/** The link's rate is the highest of so many. */
const RATES = 8;
/** A full window lies so long before a link that cannot take it sooner; where it goes sooner, it was not the link that was waited for. */
const FULL_MS = 0.8 * AHEAD_MS;

/** A frame on its way. */
interface Flight {
  /** Where it ends, in bytes since the start. */
  readonly end: number;
  readonly bytes: number;
  readonly sentMs: number;
  /** What had been received when it was sent. */
  readonly receivedBytes: number;
  /** Whether nothing more could be sent with it. */
  readonly isLast: boolean;
}

/**
 * Keeps just so much on its way over the link as fills it, so that what is urgent does not wait behind what is not: what the link delivers in the
 * shortest round trip and a little longer. A rate is what was received while one frame was on its way (as in BBR, Cardwell et al. 2016).
 */
export class LinkFlow {
  readonly #onRate: (bytesPerSecond: number) => void;
  readonly #flights: Flight[] = [];
  readonly #waiting: (() => void)[] = [];
  #sentBytes = 0;
  #receivedBytes = 0;
  readonly #rates: number[] = [];
  #windowStartMs: number = performance.now();
  #roundTripMs = Number.POSITIVE_INFINITY;
  #formerRoundTripMs = Number.POSITIVE_INFINITY;

  /** `onRate` is given every rate that is the link's, and not only what there was to send. */
  constructor(onRate: (bytesPerSecond: number) => void) {
    this.#onRate = onRate;
  }

  /** Whether more may be sent. */
  get isOpen(): boolean {
    return this.#sentBytes - this.#receivedBytes < this.limitBytes;
  }

  /** What may be on its way. */
  get limitBytes(): number {
    if (this.#rates.length === 0) return FIRST_LIMIT_BYTES;
    const bytes = (Math.max(...this.#rates) / 1000) * (this.#shortestRoundTripMs + AHEAD_MS);
    return Math.min(Math.max(bytes, MIN_LIMIT_BYTES), MAX_LIMIT_BYTES);
  }

  /** Calls once, when it is open; those who ask take turns. */
  whenOpen(call: () => void): void {
    this.#waiting.push(call);
  }

  /** A data frame of so many bytes goes out. */
  sent(bytes: number): void {
    this.#sentBytes += bytes;
    this.#flights.push({
      end: this.#sentBytes,
      bytes,
      sentMs: performance.now(),
      receivedBytes: this.#receivedBytes,
      isLast: !this.isOpen,
    });
  }

  /** The other end has received something. Numbers that run backwards are not believed. */
  received(bytes: number): void {
    this.#receivedBytes = Math.max(this.#receivedBytes, Math.min(bytes, this.#sentBytes));
    for (let first = this.#flights[0]; first !== undefined; first = this.#flights[0]) {
      if (first.end > this.#receivedBytes) break;
      this.#flights.shift();
      this.#measure(first);
    }
    while (this.isOpen && this.#waiting.length > 0) this.#waiting.shift()?.();
  }

  get #shortestRoundTripMs(): number {
    return Math.min(this.#roundTripMs, this.#formerRoundTripMs);
  }

  #measure({ bytes, sentMs, receivedBytes, isLast }: Flight): void {
    const nowMs = performance.now();
    const elapsedMs = nowMs - sentMs;
    if (nowMs - this.#windowStartMs > ROUND_TRIP_WINDOW_MS) {
      this.#windowStartMs = nowMs;
      this.#formerRoundTripMs = this.#roundTripMs;
      this.#roundTripMs = Number.POSITIVE_INFINITY;
    }
    this.#roundTripMs = Math.min(this.#roundTripMs, elapsedMs);
    if (bytes < LEAST_BYTES) return;
    // Taken over some time at least: a link may pass on at once what it has saved up for.
    const rate = ((this.#receivedBytes - receivedBytes) / Math.max(elapsedMs, AHEAD_MS)) * 1000;
    // What was less than the link takes, for want of more to send, does not count against it.
    if (isLast || rate > Math.max(0, ...this.#rates)) this.#rates.push(rate);
    if (this.#rates.length > RATES) this.#rates.shift();
    if (isLast && elapsedMs >= this.#shortestRoundTripMs + FULL_MS) this.#onRate(rate);
  }
}
