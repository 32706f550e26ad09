import { ByteQueue } from "./byte-queue.js";
import { checkBytes, checkNumber, closedError, lostError, snapshot } from "./check.js";
import type { Connection } from "./connection.js";

/** Options of {@link connectionPair}. */
export interface PairOptions {
  /** `send` waits while the other side has more than this unread, in bytes. Default: 1 MiB. */
  readonly highWaterBytes?: number;
}

/** Two connections in one process, each the other end of the other. Works in any runtime. */
export function connectionPair({ highWaterBytes = 1024 * 1024 }: PairOptions = {}): [Connection, Connection] {
  checkNumber("highWaterBytes", highWaterBytes, 0, Number.MAX_SAFE_INTEGER);
  const left = new ByteQueue(highWaterBytes);
  const right = new ByteQueue(highWaterBytes);
  const first = new PairEnd(left, right);
  const second = new PairEnd(right, left);
  first.onAbort = (reason) => second.lose(reason);
  second.onAbort = (reason) => first.lose(reason);
  return [first, second];
}

class PairEnd implements Connection {
  readonly peer: undefined = undefined;
  readonly #incoming: ByteQueue;
  readonly #outgoing: ByteQueue;
  #failure: Error | undefined;
  #isAborted = false;
  onAbort: (reason: Error) => void = () => {};

  constructor(incoming: ByteQueue, outgoing: ByteQueue) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  async send(bytes: Uint8Array): Promise<void> {
    checkBytes(bytes);
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#outgoing.isEnded) throw closedError();
    this.#outgoing.push(snapshot(bytes));
    await this.#outgoing.drained();
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#isAborted ? Promise.reject(this.#failure) : this.#incoming.take();
  }

  async close(): Promise<void> {
    if (this.#outgoing.isEnded) return;
    if (this.#failure !== undefined) throw this.#failure;
    this.#outgoing.end();
  }

  abort(reason: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#isAborted = true;
    const lost = lostError(reason);
    this.#incoming.fail(reason, lost);
    this.#outgoing.fail(lost, reason);
    this.onAbort(lost);
  }

  /** The other end has aborted; both queues know already. */
  lose(reason: Error): void {
    this.#failure ??= reason;
  }
}
