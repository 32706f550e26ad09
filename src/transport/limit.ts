import { checkNumber } from "./check.js";
import { type Connection, type Peer, sendSteady } from "./connection.js";
import { SendQueue } from "./send-queue.js";
import { sleep } from "./sleep.js";

/** Options of {@link limitBandwidth}. */
export interface BandwidthOptions {
  readonly bytesPerSecond: number;
  /** How much may be sent at once after a pause. Default: what the rate gives in 20 ms. */
  readonly burstBytes?: number;
}

const MAX_PIECE_BYTES = 64 * 1024;
const DEFAULT_BURSTS_PER_SECOND = 50;

/** The connection, sending no faster than so (a token bucket). Receiving is as it was: wrap the other end to limit that direction. */
export function limitBandwidth(connection: Connection, options: BandwidthOptions): Connection {
  const { bytesPerSecond } = options;
  checkNumber("bytesPerSecond", bytesPerSecond, 1, Number.MAX_SAFE_INTEGER);
  const burstBytes = options.burstBytes ?? Math.max(1, Math.round(bytesPerSecond / DEFAULT_BURSTS_PER_SECOND));
  checkNumber("burstBytes", burstBytes, 1, Number.MAX_SAFE_INTEGER);
  return new LimitedConnection(connection, new TokenBucket(bytesPerSecond, Math.floor(burstBytes)));
}

class LimitedConnection implements Connection {
  readonly peer: Peer | undefined;
  readonly #inner: Connection;
  readonly #outgoing: SendQueue;

  constructor(inner: Connection, bucket: TokenBucket) {
    this.peer = inner.peer;
    this.#inner = inner;
    this.#outgoing = new SendQueue(0, Math.min(bucket.capacityBytes, MAX_PIECE_BYTES), {
      async pass(piece, signal) {
        const waitMs = bucket.take(piece.length);
        if (waitMs > 0) await sleep(waitMs, signal);
        await sendSteady(inner, piece);
      },
      finish: () => inner.close(),
    });
  }

  send(bytes: Uint8Array): Promise<void> {
    return this.#outgoing.send(bytes);
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#inner.receive();
  }

  close(): Promise<void> {
    return this.#outgoing.close();
  }

  abort(reason: Error): void {
    this.#outgoing.fail(reason);
    this.#inner.abort(reason);
  }
}

class TokenBucket {
  readonly capacityBytes: number;
  readonly #bytesPerSecond: number;
  #tokenBytes: number;
  #filledMs: number = performance.now();

  constructor(bytesPerSecond: number, capacityBytes: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.capacityBytes = capacityBytes;
    this.#tokenBytes = capacityBytes;
  }

  /**
   * Takes the tokens, on credit where there are too few: returns how long to wait, in ms, until they would have been there. So a timer that
   * is late costs no bandwidth: what it was late by is on the account at the next call.
   */
  take(bytes: number): number {
    const nowMs = performance.now();
    const earnedBytes = ((nowMs - this.#filledMs) / 1000) * this.#bytesPerSecond;
    this.#filledMs = nowMs;
    this.#tokenBytes = Math.min(this.capacityBytes, this.#tokenBytes + earnedBytes) - bytes;
    return this.#tokenBytes >= 0 ? 0 : (-this.#tokenBytes / this.#bytesPerSecond) * 1000;
  }
}
