import { TransportError } from "./errors.js";

/** What a chunk costs besides its bytes, so that a great many small ones are bounded too. */
export const CHUNK_COST_BYTES = 256;

interface Waiter<Value> {
  resolve(value: Value): void;
  reject(reason: Error): void;
}

/**
 * Chunks of bytes on their way from a side that pushes to a side that takes. It refuses nothing: the pushing side is expected to wait for
 * {@link drained} or to look at {@link isFull}.
 */
export class ByteQueue {
  readonly #highWaterBytes: number;
  readonly #onTake: ((chunk: Uint8Array) => void) | undefined;
  #chunks: Uint8Array[] = [];
  #first = 0;
  #costBytes = 0;
  #isEnded = false;
  #failure: Error | undefined;
  #taking: Waiter<Uint8Array | undefined> | undefined;
  #draining: Waiter<void>[] = [];

  /** `onTake` hears of every chunk that has been taken out. */
  constructor(highWaterBytes: number, onTake?: (chunk: Uint8Array) => void) {
    this.#highWaterBytes = highWaterBytes;
    this.#onTake = onTake;
  }

  /** Whether there is more in it than the high-water mark. */
  get isFull(): boolean {
    return this.#costBytes > this.#highWaterBytes;
  }

  /** Whether {@link end} was called: no more will be pushed. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Puts a chunk in, which belongs to the queue from now on. Empty ones, and all after the end or a failure, go nowhere. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.#isEnded || this.#failure !== undefined) return;
    this.#chunks.push(chunk);
    this.#costBytes += chunk.length + CHUNK_COST_BYTES;
    if (this.#taking !== undefined) {
      this.#taking.resolve(this.#shift());
      this.#taking = undefined;
    }
  }

  /** Resolves when the queue is not full (any more). */
  drained(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (!this.isFull) return Promise.resolve();
    return new Promise((resolve, reject) => this.#draining.push({ resolve, reject }));
  }

  /** The next chunk, once there is one; undefined at the end. One call at a time. */
  take(): Promise<Uint8Array | undefined> {
    if (this.#taking !== undefined) {
      return Promise.reject(new TransportError("argument", "Another call is waiting for the next chunk already."));
    }
    if (this.#first < this.#chunks.length) return Promise.resolve(this.#shift());
    if (this.#isEnded) return Promise.resolve(undefined);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#taking = { resolve, reject };
    });
  }

  /** No more will be pushed; what is there can still be taken. */
  end(): void {
    if (this.#failure !== undefined) return;
    this.#isEnded = true;
    this.#taking?.resolve(undefined);
    this.#taking = undefined;
  }

  /**
   * Rejects what waits: `take` with `reason`, `drained` with `pushReason`. What is there is thrown away, unless the queue had ended before:
   * then the taking side still gets all of it.
   */
  fail(reason: Error, pushReason: Error = reason): void {
    this.#failure ??= reason;
    if (!this.#isEnded) this.#clear();
    this.#taking?.reject(reason);
    this.#taking = undefined;
    for (const waiter of this.#draining.splice(0)) waiter.reject(pushReason);
  }

  #clear(): void {
    this.#chunks = [];
    this.#first = 0;
    this.#costBytes = 0;
  }

  #shift(): Uint8Array {
    const chunk = this.#chunks[this.#first] as Uint8Array;
    this.#first++;
    this.#costBytes -= chunk.length + CHUNK_COST_BYTES;
    if (this.#first === this.#chunks.length || this.#first === 1024) {
      this.#chunks.splice(0, this.#first);
      this.#first = 0;
    }
    if (!this.isFull) for (const waiter of this.#draining.splice(0)) waiter.resolve();
    this.#onTake?.(chunk);
    return chunk;
  }
}
