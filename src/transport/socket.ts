import type { Socket } from "node:net";
import { ByteQueue } from "./byte-queue.js";
import { checkBytes, closedError, lostError, snapshot } from "./check.js";
import type { Connection, Peer } from "./connection.js";

/** More than this unread stops the socket. */
const UNREAD_BYTES = 256 * 1024;

/** More than this unsent holds the sender back. (Streams' own mark, 16 KiB, would wait for the kernel far too often.) */
const UNSENT_BYTES = 1024 * 1024;

/**
 * A connection over a connected socket that was made with `allowHalfOpen`; the socket belongs to the connection from now on. `raw` is the
 * TCP socket, where `socket` is something above it.
 *
 * An end of the stream is taken for the peer's close, and that is all it is worth: the kernel ends the streams of a process that dies, and
 * libuv gives a reset that comes together with the last bytes for an end. A protocol must say in its own messages that it is through.
 */
export function socketConnection(socket: Socket, peer?: Peer, raw: Socket = socket): Connection {
  return new SocketConnection(socket, peer, raw);
}

class SocketConnection implements Connection {
  readonly peer: Peer | undefined;
  readonly #socket: Socket;
  readonly #raw: Socket;
  readonly #incoming: ByteQueue;
  #failure: Error | undefined;
  #isAborted = false;
  #closing: Promise<void> | undefined;
  /** What waits for the socket to drain or to finish; called once with the failure, if there is one. */
  #waiting: ((failure?: Error) => void)[] = [];

  constructor(socket: Socket, peer: Peer | undefined, raw: Socket) {
    this.peer = peer;
    this.#socket = socket;
    this.#raw = raw;
    this.#incoming = new ByteQueue(UNREAD_BYTES, () => {
      if (!this.#incoming.isFull) socket.resume();
    });
    socket.on("data", (chunk: Buffer) => {
      this.#incoming.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
      if (this.#incoming.isFull) socket.pause();
    });
    socket.on("end", () => this.#takeEnd());
    socket.on("drain", () => this.#wake());
    socket.on("finish", () => this.#wake());
    socket.on("error", (cause) => this.#lose(lostError(cause)));
    socket.on("close", () => {
      if (!this.#incoming.isEnded || !socket.writableFinished) this.#lose(lostError());
    });
  }

  async send(bytes: Uint8Array): Promise<void> {
    checkBytes(bytes);
    await this.sendSteady(snapshot(bytes));
  }

  async sendSteady(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw closedError();
    if (bytes.length > 0) this.#socket.write(bytes);
    if (this.#socket.writableLength > UNSENT_BYTES) await this.#woken();
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#isAborted ? Promise.reject(this.#failure) : this.#incoming.take();
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  abort(reason: Error): void {
    if (this.#failure !== undefined) return;
    this.#isAborted = true;
    this.#lose(reason);
    // A reset, since the other side could not tell a plain end from an orderly close. Not at once: where TLS is above the TCP socket and the
    // call comes from one of its events, it would still use the socket (and the process crash).
    setImmediate(() => this.#raw.resetAndDestroy());
  }

  async #finish(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#socket.end();
    while (!this.#socket.writableFinished) await this.#woken();
  }

  /**
   * Linux tells of a reset once only: where a write hears of it, reading shows a plain end, and Node may tell of the end first. So where
   * something is being written, its error gets the time to arrive.
   */
  #takeEnd(): void {
    if (this.#socket.writableLength === 0) this.#incoming.end();
    else setImmediate(() => setImmediate(() => this.#incoming.end()));
  }

  #woken(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push((failure) => (failure === undefined ? resolve() : reject(failure)));
    });
  }

  #wake(failure?: Error): void {
    for (const call of this.#waiting.splice(0)) call(failure);
  }

  #lose(reason: Error): void {
    this.#failure ??= reason;
    this.#incoming.fail(this.#failure);
    this.#wake(this.#failure);
  }
}
