/** An interval as long as this is a tab in the background, not a slow drawing. */
const HIDDEN_MS = 1000;

/** Measures how many frames a second are drawn while something moves. */
export class FrameMeter {
  #last: number | undefined;
  #count = 0;
  #elapsedMs = 0;

  begin(): void {
    this.#last = undefined;
    this.#count = 0;
    this.#elapsedMs = 0;
  }

  /** A frame is drawn, at this time of `requestAnimationFrame`. */
  frame(now: number): void {
    const interval = now - (this.#last ?? now);
    this.#last = now;
    if (interval <= 0 || interval > HIDDEN_MS) return;
    this.#count += 1;
    this.#elapsedMs += interval;
  }

  /** Frames a second since {@link begin}; undefined where there were too few to tell. */
  end(): number | undefined {
    return this.#count < 2 ? undefined : (1000 * this.#count) / this.#elapsedMs;
  }
}
