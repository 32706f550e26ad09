/** A request's answer stands behind so much link time of pushed pages, and the batch that is just being sent. */
const WAIT_MS = 2;
/** A page travels anyway. */
const LEAST_BYTES = 4 << 10;
const MOST_BATCH_BYTES = 256 << 10;
/** So many batches may follow each confirmation: a link that was idle is not filled at one go, which would be a queue as long as the round trip. */
const MOST_AT_ONCE = 2;
/** A rate is taken over so much time in which the link had no pause. */
const BUSY_MS = 4;
/** The weight of the newest rate. */
const NEWEST = 0.5;
/** What a round adds to a rate that was measured, where the link turns out to take more; what it adds doubles with each further such round. */
const GENTLY = 1 / 8;
/** A round trip is believed for so long, or for so many of its own time. */
const FRESH_MS = 2000;
const FRESH_ROUND_TRIPS = 50;
/** A window that leaves no queue, even at a rate that is a little too high. */
const QUEUELESS_SHARE = 0.95;

/** What was sent at one time: the bytes up to `totalBytes`. */
interface Flight {
  readonly totalBytes: number;
  readonly sentMs: number;
}

/**
 * How much may be on its way to the destination at a time: as much as keeps the link busy, and {@link WAIT_MS} of link time more, so that the answer to a
 * page request does not wait for long behind pages that nobody asked for.
 *
 * The window is rate × (round trip + {@link WAIT_MS}). The round trip is the least time from a batch to its confirmation. The rate is how fast
 * confirmations come while the link has no pause: when a batch was sent at least a round trip before the confirmation of the one before it, it stood in
 * the queue by then. As long as no batch stands in a queue although the window is full, the link takes more, and the window grows.
 *
 * The standing queue would hide a round trip that becomes longer; so now and then the window is made so small that there is none, for one round.
 */
export class PushWindow {
  #bytesPerMs: number;
  /** Whether the rate has never been measured. */
  #isGuess: boolean;
  #growth: number;
  #isMeasured: boolean;
  /** The least of this period and of the one before. */
  #leastMs = Number.POSITIVE_INFINITY;
  #leastBeforeMs: number;
  #freshUntilMs: number | undefined;
  /** Whether the window leaves no queue. */
  #isQueueless = false;
  #sentBytes = 0;
  #confirmedBytes = 0;
  #confirmedMs = Number.NEGATIVE_INFINITY;
  /** What has not been confirmed, in the order in which it was sent. */
  readonly #flights: Flight[] = [];
  /** Sent since the last confirmation. */
  #burstBytes = 0;
  /** How long the link was seen without a pause, and what it delivered. */
  #busyMs = 0;
  #busyBytes = 0;
  /** A round ends when something is confirmed that was sent after its start. */
  #roundBytes = 0;
  #wasFull = false;
  #wasBusy = false;

  /** `bytesPerSecond` as measured so far, 0 where it is not known; `roundTripMs` likewise, infinite where it is not known. */
  constructor(bytesPerSecond: number, roundTripMs: number) {
    this.#isGuess = bytesPerSecond === 0;
    this.#bytesPerMs = this.#isGuess ? LEAST_BYTES / WAIT_MS : bytesPerSecond / 1000;
    this.#growth = this.#isGuess ? 1 : GENTLY;
    this.#isMeasured = bytesPerSecond > 0;
    this.#leastBeforeMs = roundTripMs;
  }

  /** As measured so far; 0 as long as it is a guess. */
  get bytesPerSecond(): number {
    return this.#isMeasured ? this.#bytesPerMs * 1000 : 0;
  }

  /** Bytes that may be pushed now; not above 0 where it is to be waited for a confirmation. */
  get room(): number {
    const room = this.#windowBytes - this.#bytesInFlight;
    return this.#isGuess ? room : Math.min(room, MOST_AT_ONCE * this.batchBytes - this.#burstBytes);
  }

  /** How large the next batch should be on the wire. */
  get batchBytes(): number {
    return Math.min(MOST_BATCH_BYTES, Math.max(LEAST_BYTES, (this.#bytesPerMs * WAIT_MS) / 2));
  }

  /** So many bytes have been sent since the start of the session, pushed or asked for. */
  sent(totalBytes: number, nowMs: number): void {
    // What was sent before the window was there may have been confirmed already.
    const bytes = totalBytes - Math.max(this.#sentBytes, this.#confirmedBytes);
    this.#sentBytes = Math.max(this.#sentBytes, totalBytes);
    if (bytes <= 0) return;
    this.#burstBytes += bytes;
    this.#flights.push({ totalBytes, sentMs: nowMs });
    this.#freshUntilMs ??= nowMs + FRESH_MS;
    if (this.#bytesInFlight >= this.#windowBytes) this.#wasFull = true;
  }

  /** So many bytes have been taken in since the start of the session. A number that runs backwards is not believed. */
  confirmed(totalBytes: number, nowMs: number): void {
    const bytes = totalBytes - this.#confirmedBytes;
    const previousMs = this.#confirmedMs;
    if (bytes <= 0) return;
    this.#confirmedBytes = totalBytes;
    this.#confirmedMs = nowMs;
    this.#burstBytes = 0;
    const flight = this.#take(totalBytes);
    if (flight === undefined) return;
    // The first part of a flight may have been sent long before it.
    if (flight.totalBytes === totalBytes) this.#leastMs = Math.min(this.#leastMs, nowMs - flight.sentMs);
    if (flight.sentMs + this.#roundTripMs <= previousMs) this.#measure(bytes, nowMs - previousMs);
    if (totalBytes > this.#roundBytes) this.#endRound(nowMs);
  }

  get #roundTripMs(): number {
    return Math.min(this.#leastMs, this.#leastBeforeMs);
  }

  get #bytesInFlight(): number {
    return Math.max(0, this.#sentBytes - this.#confirmedBytes);
  }

  get #windowBytes(): number {
    const roundTripMs = Number.isFinite(this.#roundTripMs) ? this.#roundTripMs : 0;
    const windowMs = this.#isQueueless ? QUEUELESS_SHARE * roundTripMs - WAIT_MS / 2 : roundTripMs + WAIT_MS;
    return Math.max(LEAST_BYTES, this.#bytesPerMs * windowMs);
  }

  /** The flight of the last byte of `totalBytes`; those that are through are taken away. */
  #take(totalBytes: number): Flight | undefined {
    let first = this.#flights[0];
    while (first !== undefined && first.totalBytes < totalBytes) {
      this.#flights.shift();
      first = this.#flights[0];
    }
    if (first?.totalBytes === totalBytes) this.#flights.shift();
    return first;
  }

  #measure(bytes: number, durationMs: number): void {
    this.#wasBusy = true;
    this.#busyBytes += bytes;
    this.#busyMs += durationMs;
    if (this.#busyMs < BUSY_MS) return;
    const bytesPerMs = this.#busyBytes / this.#busyMs;
    this.#bytesPerMs += (this.#isGuess ? 1 : NEWEST) * (bytesPerMs - this.#bytesPerMs);
    this.#isGuess = false;
    this.#growth = GENTLY;
    this.#isMeasured = true;
    this.#busyBytes = 0;
    this.#busyMs = 0;
  }

  #endRound(nowMs: number): void {
    if (this.#wasFull && !this.#wasBusy && !this.#isQueueless) {
      this.#bytesPerMs *= 1 + this.#growth;
      this.#growth = Math.min(1, this.#growth * 2);
    }
    this.#roundBytes = this.#sentBytes;
    this.#wasFull = false;
    this.#wasBusy = false;
    if (this.#isQueueless) {
      this.#isQueueless = false;
      this.#freshUntilMs = nowMs + Math.max(FRESH_MS, FRESH_ROUND_TRIPS * this.#roundTripMs);
    } else if (nowMs >= (this.#freshUntilMs as number)) {
      this.#isQueueless = true;
      this.#leastBeforeMs = this.#leastMs;
      this.#leastMs = Number.POSITIVE_INFINITY;
    }
  }
}
