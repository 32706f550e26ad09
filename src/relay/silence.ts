/** Nothing for so long is silence: others that pass bytes on do not pause for as long between two pieces of one message. */
const SILENT_MS = 0.5;

/** Tells when nothing has come for half a millisecond. Timers cannot: theirs are of a millisecond and late. */
export class SilenceWatch {
  readonly #onSilence: () => void;
  #heardMs = 0;
  #isWatching = false;

  constructor(onSilence: () => void) {
    this.#onSilence = onSilence;
  }

  /** Something came; the sooner it is quiet, the sooner the call. */
  heard(): void {
    this.#heardMs = performance.now();
    if (this.#isWatching) return;
    this.#isWatching = true;
    setImmediate(() => this.#look());
  }

  /** No call any more, until something comes. */
  stop(): void {
    this.#isWatching = false;
  }

  #look(): void {
    if (!this.#isWatching) return;
    if (performance.now() - this.#heardMs < SILENT_MS) {
      setImmediate(() => this.#look());
      return;
    }
    this.#isWatching = false;
    this.#onSilence();
  }
}
