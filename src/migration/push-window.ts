/** The answer to a request waits behind so much link time of pushed pages. */
const WAIT_MS = 2;
/** The link time of a batch. */
const BATCH_MS = WAIT_MS / 2;
/** A page travels anyway. */
const LEAST_BYTES = 4 << 10;
const MOST_BATCH_BYTES = 256 << 10;
/** So many batches may follow each confirmation: a link that was idle is not filled at one go, which would be a queue as long as the round trip. */
const MOST_AT_ONCE = 2;
/** The first window where nothing is known. */
const FIRST_GUESS_BYTES = 16 << 10;
/** A rate is taken over so much time in which the link had no pause. */
const BUSY_MS = 4;
/** A pause of so small a share of the time is none. */
const PAUSE_SHARE = 0.01;
/** The weight of the newest rate. */
const NEWEST = 0.5;
/** What a round adds to a rate that was measured, where the link turns out to take more; what it adds doubles with each further such round. */
const GENTLY = 1 / 8;
/** A round trip is believed for so long, or for so many of its own time; the first one less, since all of it may have been queue. */
const FRESH_MS = 2000;
const FIRST_FRESH_MS = 200;
const FRESH_ROUND_TRIPS = 50;
/** A window that leaves no queue, even at a rate that is a little too high. */
const QUEUELESS_SHARE = 0.95;

/** What was sent at one time: the bytes up to `totalBytes`. */
interface Flight {
  readonly totalBytes: number;
  readonly sentMs: number;
}

/**
 * How much may be on its way to the destination at a time: what keeps the link busy, and not much more, so that the answer to a page request does not wait
 * for longer than {@link WAIT_MS} behind pages that nobody asked for.
 *
 * The window is what the link takes in a round trip and a batch's time; the batch that is sent as long as there is room comes on top. The round trip is the
 * least time from a batch to its confirmation. The rate is how fast confirmations come while the link has no pause: a batch that was sent at least a
 * round trip before the confirmation of the one ahead of it stood in the queue by then. As long as the window is full and the link has pauses, it takes
 * more, and the window grows.
 *
 * What stands in the queue would hide a round trip that becomes longer; so now and then the window is made so small that nothing does, for one round.
 */
export class PushWindow {
  /** As long as no rate was measured: the window, which doubles. */
  #guessBytes: number | undefined;
  #bytesPerMs: number;
  #growth = GENTLY;
  /** The least of this period and of the one before. */
  #leastMs = Number.POSITIVE_INFINITY;
  #leastBeforeMs = Number.POSITIVE_INFINITY;
  /** As long as nothing was confirmed. */
  readonly #givenRoundTripMs: number;
  #freshUntilMs: number | undefined;
  #isFirstPeriod = true;
  /** Whether the window leaves no queue. */
  #isQueueless = false;
  #sentBytes = 0;
  #confirmedBytes = 0;
  #confirmedMs: number | undefined;
  /** What has not been confirmed, in the order in which it was sent. */
  readonly #flights: Flight[] = [];
  /** Sent since the last confirmation. */
  #burstBytes = 0;
  /** How long the link was seen without a pause, and what it delivered. */
  #busyMs = 0;
  #busyBytes = 0;
  /** A round ends when something is confirmed that was sent after its start. */
  #roundBytes = 0;
  #roundStartMs = 0;
  #roundBusyMs = 0;
  #wasFull = false;

  /** `bytesPerSecond` as measured so far, 0 where it is not known; `roundTripMs` likewise, infinite where it is not known. */
  constructor(bytesPerSecond: number, roundTripMs: number) {
    this.#guessBytes = bytesPerSecond > 0 ? undefined : FIRST_GUESS_BYTES;
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#givenRoundTripMs = roundTripMs;
  }

  /** What the link delivers, as far as it was measured; 0 where it was not. */
  get bytesPerSecond(): number {
    return this.#guessBytes === undefined ? this.#bytesPerMs * 1000 : 0;
  }

  /** Bytes that may be pushed now; where it is not above 0, a confirmation is to be waited for. It is above 0 when nothing is on its way. */
  get room(): number {
    const room = this.#windowBytes - this.#bytesInFlight;
    return this.#guessBytes !== undefined ? room : Math.min(room, MOST_AT_ONCE * this.batchBytes - this.#burstBytes);
  }

  /** How large the next batch should be on the wire. */
  get batchBytes(): number {
    const bytes = this.#guessBytes === undefined ? this.#bytesPerMs * BATCH_MS : this.#guessBytes / 4;
    return Math.min(MOST_BATCH_BYTES, Math.max(LEAST_BYTES, bytes));
  }

  /** So many bytes have been sent since the start of the session, pushed or asked for. */
  sent(totalBytes: number, nowMs: number): void {
    // What was sent before the window was there may have been confirmed already.
    const bytes = totalBytes - Math.max(this.#sentBytes, this.#confirmedBytes);
    this.#sentBytes = Math.max(this.#sentBytes, totalBytes);
    if (bytes <= 0) return;
    this.#burstBytes += bytes;
    this.#flights.push({ totalBytes, sentMs: nowMs });
    this.#freshUntilMs ??= nowMs + FIRST_FRESH_MS;
    if (this.#bytesInFlight >= this.#windowBytes) this.#wasFull = true;
  }

  /** So many bytes have been taken in since the start of the session. A number that runs backwards is not believed; with one that runs ahead, a destination only harms itself. */
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
    if (previousMs !== undefined) {
      const pauseMs = flight.sentMs + this.#roundTripMs - previousMs;
      if (pauseMs <= PAUSE_SHARE * (nowMs - previousMs)) this.#measure(bytes, nowMs - previousMs);
    }
    if (totalBytes > this.#roundBytes) this.#endRound(nowMs);
  }

  get #roundTripMs(): number {
    const leastMs = Math.min(this.#leastMs, this.#leastBeforeMs);
    return Number.isFinite(leastMs) ? leastMs : this.#givenRoundTripMs;
  }

  get #bytesInFlight(): number {
    return Math.max(0, this.#sentBytes - this.#confirmedBytes);
  }

  get #windowBytes(): number {
    if (this.#guessBytes !== undefined) return this.#guessBytes;
    const windowMs = this.#isQueueless
      ? QUEUELESS_SHARE * finiteMs(this.#leastBeforeMs) - BATCH_MS
      : finiteMs(this.#roundTripMs) + WAIT_MS - BATCH_MS;
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
    this.#roundBusyMs += durationMs;
    this.#busyBytes += bytes;
    this.#busyMs += durationMs;
    if (this.#busyMs < BUSY_MS) return;
    const bytesPerMs = this.#busyBytes / this.#busyMs;
    const weight = this.#guessBytes === undefined ? NEWEST : 1;
    this.#bytesPerMs += weight * (bytesPerMs - this.#bytesPerMs);
    this.#guessBytes = undefined;
    this.#growth = GENTLY;
    this.#busyBytes = 0;
    this.#busyMs = 0;
  }

  #grow(): void {
    if (this.#guessBytes !== undefined) {
      this.#guessBytes *= 2;
      return;
    }
    this.#bytesPerMs *= 1 + this.#growth;
    this.#growth = Math.min(1, this.#growth * 2);
  }

  #endRound(nowMs: number): void {
    const wasBusy = this.#roundBusyMs > (nowMs - this.#roundStartMs) / 2;
    if (this.#wasFull && !wasBusy && !this.#isQueueless) this.#grow();
    this.#roundBytes = this.#sentBytes;
    this.#roundStartMs = nowMs;
    this.#roundBusyMs = 0;
    this.#wasFull = false;
    if (this.#isQueueless) {
      this.#isQueueless = false;
      this.#freshUntilMs = nowMs + Math.max(FRESH_MS, FRESH_ROUND_TRIPS * this.#roundTripMs);
    } else if (nowMs >= (this.#freshUntilMs as number)) {
      this.#isQueueless = true;
      if (!this.#isFirstPeriod) this.#leastBeforeMs = this.#leastMs;
      this.#isFirstPeriod = false;
      this.#leastMs = Number.POSITIVE_INFINITY;
    }
  }
}

/** What is not known counts as nothing. */
function finiteMs(durationMs: number): number {
  return Number.isFinite(durationMs) ? durationMs : 0;
}
