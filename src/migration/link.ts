/** A rate is taken over at least so long. */
const INTERVAL_MS = 20;
/** The weight of the newest rate. */
const NEWEST = 0.3;

/** Measures a link by what the peer confirms to have received while something was on its way. */
export class LinkMeter {
  readonly #now: () => number;
  readonly #report: (bytesPerSecond: number, isSaturated: boolean) => void;
  #bytesPerSecond = 0;
  #sent = 0;
  #received = 0;
  #markMs = 0;
  #markBytes = 0;
  #isSaturated = false;

  /** `report` is given every rate that is taken; saturated where the sender had to wait meanwhile. */
  constructor(now: () => number, report: (bytesPerSecond: number, isSaturated: boolean) => void) {
    this.#now = now;
    this.#report = report;
  }

  /** Smoothed; 0 as long as nothing is known. */
  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  /** Bytes have been handed over. */
  sent(bytes: number): void {
    if (this.#sent === this.#received) this.#mark();
    this.#sent += bytes;
  }

  /** The sender had to wait before it could hand over more. */
  waited(): void {
    this.#isSaturated = true;
  }

  /** The peer has received so many bytes in all. */
  received(bytes: number): void {
    this.#received = Math.min(bytes, this.#sent);
    const elapsedMs = this.#now() - this.#markMs;
    if (elapsedMs < INTERVAL_MS && this.#received < this.#sent) return;
    const rate = ((this.#received - this.#markBytes) / Math.max(elapsedMs, 0.1)) * 1000;
    if (rate > 0) {
      this.#bytesPerSecond = this.#bytesPerSecond === 0 ? rate : this.#bytesPerSecond * (1 - NEWEST) + rate * NEWEST;
      this.#report(rate, this.#isSaturated);
    }
    this.#mark();
  }

  #mark(): void {
    this.#markMs = this.#now();
    this.#markBytes = this.#received;
    this.#isSaturated = false;
  }
}
