import type { Confirmation } from "../wire/confirmation.js";

/** A rate is taken over at least so many bytes: fewer come in one piece and tell nothing. */
const LEAST_BYTES = 64 << 10;
/** The weight of the newest rate. */
const NEWEST = 0.3;
/** No clock is finer. */
const LEAST_MICROSECONDS = 1;

/**
 * Measures a link by how fast the rest of a frame comes in once it has begun to: what the two ends do between frames does not count, and neither does
 * what a socket has swallowed.
 */
export class LinkMeter {
  readonly #report: (bytesPerSecond: number) => void;
  #bytesPerSecond = 0;
  #bytes = 0;
  #streamedBytes = 0;
  #streamedMicroseconds = 0;

  /** `report` is given every rate that is taken. */
  constructor(report: (bytesPerSecond: number) => void) {
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

  /** The destination has confirmed something. Numbers that run backwards are not believed. */
  confirmed({ bytes, streamedBytes, streamedMicroseconds }: Confirmation): void {
    this.#bytes = Math.max(this.#bytes, bytes);
    const newBytes = streamedBytes - this.#streamedBytes;
    const newMicroseconds = streamedMicroseconds - this.#streamedMicroseconds;
    if (newBytes < LEAST_BYTES || newMicroseconds < 0) return;
    this.#streamedBytes = streamedBytes;
    this.#streamedMicroseconds = streamedMicroseconds;
    const rate = (newBytes / Math.max(newMicroseconds, LEAST_MICROSECONDS)) * 1e6;
    this.#bytesPerSecond = this.#bytesPerSecond === 0 ? rate : this.#bytesPerSecond * (1 - NEWEST) + rate * NEWEST;
    this.#report(rate);
  }
}
