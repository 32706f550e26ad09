/** An answer to a page request waits behind so much link time of pages that were only pushed. */
const DELAY_MS = 2;
/** A page travels anyway, however slow the link is. */
const LEAST_BYTES = 4096;
const MOST_BATCH_BYTES = 256 << 10;
/** Before anything is known of the link. */
const FIRST_BYTES = 64 << 10;
/** A queue that is longer than this is too long; one that is shorter leaves room to try for more. */
const SHORT_QUEUE_MS = 1;
/** A rate is taken over so much time. */
const RATE_MS = 10;
/** The weight of the newest rate where it is a lower one. */
const NEWEST = 0.25;

/**
 * How many bytes may be on their way when pages are pushed that nobody has asked for: what the link takes in its shortest round trip and 2 ms. The rate is
 * measured by what is confirmed while the window was full; where confirmations come as fast as the link allows, the window is tried larger.
 */
export class PushWindow {
  #sent: number;
  #confirmed: number;
  #bytes: number;
  #bytesPerSecond: number;
  #leastTripMs: number;
  /** Batches on their way: the bytes sent with them, and when. */
  readonly #batches: {
    readonly end: number;
    readonly atMs: number;
    readonly bytes: number;
    readonly isFull: boolean;
  }[] = [];
  #rateStartMs = 0;
  #rateStartBytes = 0;
  #isStarting = true;

  /** `bytesPerSecond` 0 and `roundTripMs` infinite where they are not known. `sentBytes` were sent before. */
  constructor(bytesPerSecond: number, roundTripMs: number, sentBytes: number) {
    this.#sent = this.#confirmed = sentBytes;
    this.#bytesPerSecond = bytesPerSecond;
    this.#leastTripMs = roundTripMs;
    const tripMs = Number.isFinite(roundTripMs) ? roundTripMs : 0;
    this.#bytes = bytesPerSecond === 0 ? FIRST_BYTES : this.#windowOf(tripMs);
  }

  /** So many bytes may be sent now; one batch may always be on its way. */
  get room(): number {
    return this.#batches.length === 0 ? Math.max(this.#bytes, 1) : this.#bytes - (this.#sent - this.#confirmed);
  }

  /** How long a pushed batch should be. */
  get batchBytes(): number {
    const half = this.#bytesPerSecond === 0 ? FIRST_BYTES / 4 : (this.#bytesPerSecond * DELAY_MS) / 2000;
    return Math.max(LEAST_BYTES, Math.min(half, MOST_BATCH_BYTES));
  }

  /** So many bytes have been sent, all together. */
  sent(totalBytes: number, nowMs: number): void {
    const bytes = totalBytes - this.#sent;
    if (bytes <= 0) return;
    if (this.#batches.length === 0) this.#beginRate(nowMs);
    this.#sent = totalBytes;
    this.#batches.push({ end: totalBytes, atMs: nowMs, bytes, isFull: this.room <= 0 });
  }

  /** So many bytes have been taken in, all together. A number that is too large, or runs backwards, is not believed. */
  confirmed(totalBytes: number, nowMs: number): void {
    this.#confirmed = Math.max(this.#confirmed, Math.min(totalBytes, this.#sent));
    for (let batch = this.#batches[0]; batch !== undefined && batch.end <= this.#confirmed; batch = this.#batches[0]) {
      this.#batches.shift();
      this.#measure(nowMs, batch.isFull);
      this.#adapt(nowMs - batch.atMs, batch.bytes, batch.isFull);
    }
  }

  #beginRate(nowMs: number): void {
    this.#rateStartMs = nowMs;
    this.#rateStartBytes = this.#confirmed;
  }

  #measure(nowMs: number, isFull: boolean): void {
    const spanMs = nowMs - this.#rateStartMs;
    if (spanMs < RATE_MS) return;
    const rate = ((this.#confirmed - this.#rateStartBytes) / spanMs) * 1000;
    this.#beginRate(nowMs);
    if (rate >= this.#bytesPerSecond) this.#bytesPerSecond = rate;
    else if (isFull) this.#bytesPerSecond += NEWEST * (rate - this.#bytesPerSecond);
  }

  #adapt(tripMs: number, bytes: number, isFull: boolean): void {
    const ownMs = this.#bytesPerSecond === 0 ? 0 : (bytes / this.#bytesPerSecond) * 1000;
    this.#leastTripMs = Math.min(this.#leastTripMs, Math.max(0, tripMs - ownMs));
    const queueMs = tripMs - ownMs - this.#leastTripMs;
    if (queueMs > DELAY_MS) {
      this.#isStarting = false;
      this.#bytes = Math.max(LEAST_BYTES, Math.min(this.#bytes, this.#windowOf(this.#leastTripMs)));
    } else if (isFull && queueMs < SHORT_QUEUE_MS) {
      // As much again in each round trip at first, then gently.
      this.#bytes += this.#isStarting ? bytes : bytes / 8;
    }
  }

  #windowOf(tripMs: number): number {
    return Math.max(LEAST_BYTES, (this.#bytesPerSecond * (tripMs + DELAY_MS)) / 1000);
  }
}
