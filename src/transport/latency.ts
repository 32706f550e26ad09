import { checkBytes, checkNumber } from "./check.js";
import { type Connection, type Peer, sendSteady } from "./connection.js";
import { SendQueue } from "./send-queue.js";
import { sleep } from "./sleep.js";

/** Options of {@link delayConnection}. */
export interface DelayOptions {
  /** How much later, in ms, what is sent is passed on: one way. */
  readonly latencyMs: number;
}

const MAX_LATENCY_MS = 60_000;

/** More than this on the way holds the sender back; it only caps the throughput where bandwidth times latency is more. */
const HIGH_WATER_BYTES = 64 * 1024 * 1024;

/** The connection, passing on so much later what is sent. Receiving is as it was: wrap the other end to delay that direction. */
export function delayConnection(connection: Connection, { latencyMs }: DelayOptions): Connection {
  checkNumber("latencyMs", latencyMs, 0, MAX_LATENCY_MS);
  return new DelayedConnection(connection, latencyMs);
}

class DelayedConnection implements Connection {
  readonly peer: Peer | undefined;
  readonly #inner: Connection;
  readonly #latencyMs: number;
  readonly #outgoing: SendQueue;
  /** When each of the queued pieces is due, in the same order. */
  readonly #dueMs: number[] = [];
  #closeDueMs: number | undefined;

  constructor(inner: Connection, latencyMs: number) {
    this.peer = inner.peer;
    this.#inner = inner;
    this.#latencyMs = latencyMs;
    this.#outgoing = new SendQueue(HIGH_WATER_BYTES, Number.POSITIVE_INFINITY, {
      pass: async (piece, signal) => {
        await sleepUntil(this.#dueMs.shift() as number, signal);
        await sendSteady(inner, piece);
      },
      finish: async (signal) => {
        await sleepUntil(this.#closeDueMs as number, signal);
        await inner.close();
      },
    });
  }

  async send(bytes: Uint8Array): Promise<void> {
    checkBytes(bytes);
    if (bytes.length > 0) this.#dueMs.push(performance.now() + this.#latencyMs);
    await this.#outgoing.send(bytes);
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#inner.receive();
  }

  close(): Promise<void> {
    this.#closeDueMs ??= performance.now() + this.#latencyMs;
    return this.#outgoing.close();
  }

  abort(reason: Error): void {
    this.#outgoing.fail(reason);
    this.#inner.abort(reason);
  }
}

async function sleepUntil(dueMs: number, signal: AbortSignal): Promise<void> {
  const waitMs = dueMs - performance.now();
  if (waitMs > 0) await sleep(waitMs, signal);
}
