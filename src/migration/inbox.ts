import { decodeConfirmation } from "../wire/confirmation.js";
import { WireError } from "../wire/errors.js";
import type { Frame } from "../wire/frame.js";
import { FrameType } from "../wire/messages.js";
import { type Channel, failureOf } from "./channel.js";
import { MigrationError } from "./errors.js";
import { MAX_TIMER_MS } from "./options.js";

/** Hear at once of what the destination says unasked. */
export interface InboxListeners {
  /** So many bytes of batches have been taken in. */
  confirmed(bytes: number): void;
  /** The machine there waits for pages. Throws where none can be wanted. */
  wanted(body: Uint8Array): void;
}

/**
 * What comes back to a source while it sends: confirmations and page requests go to listeners at once, an answer to whoever expects it. A failure, of
 * the peer, of the connection or from outside, ends every wait.
 */
export class Inbox {
  /** Every wait ends with `timeout` when it has lasted, and nothing has come, for so long; infinite: for ever. */
  timeoutMs: number;
  readonly #channel: Channel;
  readonly #listeners: InboxListeners;
  readonly #waits = new Set<Wait>();
  #answer: Frame | undefined;
  #onTaken: () => void = () => {};
  #failure: Error | undefined;

  /** Reads the channel from now on. */
  constructor(channel: Channel, timeoutMs: number, listeners: InboxListeners) {
    this.#channel = channel;
    this.timeoutMs = timeoutMs;
    this.#listeners = listeners;
    this.#read();
  }

  /** Throws where something has failed. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends every wait, now and later, with an error; the first one stays. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const wait of this.#waits) wait.reject(this.#failure);
    this.#waits.clear();
  }

  /** The next answer, which must be of this type. */
  async expect(type: FrameType): Promise<Frame> {
    if (this.#answer === undefined) {
      this.check();
      await this.#wait((wait) => {
        wait.isForAnswer = true;
      });
    }
    const frame = this.#answer as Frame;
    this.#answer = undefined;
    this.#onTaken();
    if (frame.type === type) return frame;
    throw new WireError(
      "message-malformed",
      `The peer sent a frame of type ${frame.type} where one of type ${type} was due.`,
    );
  }

  /** Waits for something else, as long as nothing fails. */
  async guard(promise: Promise<void>): Promise<void> {
    // Where something has failed before, nobody waits for this any more; that it fails too is no unhandled rejection.
    promise.catch(() => {});
    this.check();
    await this.#wait((wait) => {
      promise.then(wait.resolve, wait.reject);
    });
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        // Silence is not a fault as long as nobody waits.
        const frame = await this.#channel.receive(undefined);
        if (frame === undefined) throw new MigrationError("connection-lost", "The destination ended the connection.");
        await this.#take(frame);
      }
    } catch (error) {
      this.fail(error as Error);
    }
  }

  async #take(frame: Frame): Promise<void> {
    const failure = failureOf(frame);
    if (failure !== undefined) throw failure;
    if (frame.type === FrameType.received) return this.#listeners.confirmed(decodeConfirmation(frame.body));
    if (frame.type === FrameType.wanted) return this.#listeners.wanted(frame.body);
    this.#answer = frame;
    for (const wait of this.#waits) if (wait.isForAnswer) wait.resolve();
    // One answer at a time: nothing piles up here.
    await new Promise<void>((resolve) => {
      this.#onTaken = resolve;
    });
  }

  async #wait(begin: (wait: Wait) => void): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const started = performance.now();
    let wait: Wait | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        wait = { isForAnswer: false, resolve, reject };
        this.#waits.add(wait);
        const watch = (): void => {
          const silentMs = performance.now() - Math.max(started, this.#channel.lastHeardMs);
          if (silentMs < this.timeoutMs) timer = setTimeout(watch, Math.min(this.timeoutMs - silentMs, MAX_TIMER_MS));
          else reject(new MigrationError("timeout", `The destination has been silent for ${this.timeoutMs} ms.`));
        };
        watch();
        begin(wait);
      });
    } finally {
      clearTimeout(timer);
      if (wait !== undefined) this.#waits.delete(wait);
    }
  }
}

interface Wait {
  isForAnswer: boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}
