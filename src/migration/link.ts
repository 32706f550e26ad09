/** A rate is taken over at least so much time, and so many bytes. */
const WINDOW_MS = 20;
const LEAST_BYTES = 64 << 10;
/** A link that is waited for so much of the time is full. */
const FULL_SHARE = 0.3;
/** The weight of the newest rate. */
const NEWEST = 0.3;

/**
 * Measures a link by what the destination confirms while the source waits for it. Where the source does not wait, the link takes at least so much, and
 * perhaps much more.
 */
export class LinkMeter {
  readonly #report: (bytesPerSecond: number, isFull: boolean) => void;
  #bytesPerSecond = 0;
  #bytes = 0;
  /** The window that is being measured. */
  #startMs = 0;
  #startBytes = 0;
  #waitedMs = 0;

  /** `report` is given every rate that is taken, and whether the link was full. */
  constructor(report: (bytesPerSecond: number, isFull: boolean) => void) {
    this.#report = report;
  }

  /** Smoothed; 0 as long as nothing is known. */
  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  /** Bytes of batches that the destination has confirmed. */
  get confirmedBytes(): number {
    return this.#bytes;
  }

  /** From `nowMs` on there is something to send; before, there may have been nothing. */
  begin(nowMs: number): void {
    this.#startMs = nowMs;
    this.#startBytes = this.#bytes;
    this.#waitedMs = 0;
  }

  /** The source had to wait so long before it could send more. */
  waited(durationMs: number): void {
    this.#waitedMs += durationMs;
  }

  /** The destination has confirmed so many bytes, all together. A number that runs backwards is not believed. */
  confirmed(bytes: number, nowMs: number): void {
    this.counted(bytes);
    const windowMs = nowMs - this.#startMs;
    const windowBytes = this.#bytes - this.#startBytes;
    if (windowMs < WINDOW_MS || windowBytes < LEAST_BYTES) return;
    const rate = (windowBytes / windowMs) * 1000;
    const isFull = this.#waitedMs >= FULL_SHARE * windowMs;
    this.begin(nowMs);
    if (isFull && this.#bytesPerSecond > 0) this.#bytesPerSecond += NEWEST * (rate - this.#bytesPerSecond);
    else this.#bytesPerSecond = Math.max(this.#bytesPerSecond, rate);
    this.#report(rate, isFull);
  }

  /** The same where something else measures the link. */
  counted(bytes: number): void {
    this.#bytes = Math.max(this.#bytes, bytes);
  }
}
