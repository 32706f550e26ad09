import { ByteQueue } from "./byte-queue.js";
import { checkBytes, closedError, snapshot } from "./check.js";

/** Where a {@link SendQueue} leads. */
export interface Outlet {
  /** Called with one piece after the other, the next one when the promise resolves. Should reject once the signal is aborted. */
  pass(piece: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void>;
  /** Called when everything has been passed on and no more will come. */
  finish(signal: AbortSignal): Promise<void>;
}

/** The sending half of a connection that cannot always pass bytes on at once: takes snapshots, keeps the order, holds the sender back. */
export class SendQueue {
  readonly #outlet: Outlet;
  readonly #pieceBytes: number;
  readonly #queue: ByteQueue;
  readonly #stop: AbortController = new AbortController();
  readonly #finished: Promise<void>;
  #isClosed = false;

  /** `send` waits while more than `highWaterBytes` are queued; what is longer than `pieceBytes` is cut. */
  constructor(highWaterBytes: number, pieceBytes: number, outlet: Outlet) {
    this.#outlet = outlet;
    this.#pieceBytes = pieceBytes;
    this.#queue = new ByteQueue(highWaterBytes);
    this.#finished = this.#run();
    // Whoever closes hears of a failure; where nobody does, it is no unhandled one.
    this.#finished.catch(() => {});
  }

  async send(bytes: Uint8Array): Promise<void> {
    checkBytes(bytes);
    this.#stop.signal.throwIfAborted();
    if (this.#isClosed) throw closedError();
    for (let at = 0; at < bytes.length; at += this.#pieceBytes) {
      this.#queue.push(snapshot(bytes.subarray(at, at + this.#pieceBytes)));
    }
    await this.#queue.drained();
  }

  /** Resolves when everything has been passed on and the outlet has finished. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#queue.end();
    return this.#finished;
  }

  /** Throws away what is queued; everything that waits rejects with `reason`, and so does everything later. */
  fail(reason: Error): void {
    this.#stop.abort(reason);
    this.#queue.fail(reason);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    try {
      for (;;) {
        const piece = await this.#queue.take();
        signal.throwIfAborted();
        if (piece === undefined) break;
        await this.#outlet.pass(piece as Uint8Array<ArrayBuffer>, signal);
      }
      await this.#outlet.finish(signal);
    } catch (error) {
      this.fail(error as Error);
      throw signal.reason;
    }
  }
}
