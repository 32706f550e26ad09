import { ByteQueue, CHUNK_COST_BYTES } from "./byte-queue.js";
import { lostError } from "./check.js";
import type { Connection } from "./connection.js";
import { TransportError } from "./errors.js";
import { SendQueue } from "./send-queue.js";

/** What is needed of a MessagePort; both the browsers' and Node's have it. */
export interface MessagePortLike {
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
  addEventListener(type: string, listener: (event: Event) => void): void;
  start(): void;
  close(): void;
}

/**
 * What goes through the port. A bytes message costs its length and {@link CHUNK_COST_BYTES} of credit; each side starts with
 * {@link WINDOW_BYTES} of it and is granted back what the other side has consumed.
 */
type PortMessage =
  | { readonly type: "bytes"; readonly buffer: ArrayBuffer }
  | { readonly type: "credit"; readonly bytes: number }
  | { readonly type: "close" }
  | { readonly type: "abort" };

/** How much a side may have posted that the other has not consumed. */
const WINDOW_BYTES = 1024 * 1024;
const MAX_PIECE_BYTES = 128 * 1024;
/** Small grants are put together up to this; the rest of the window must hold a whole piece. */
const MIN_GRANT_BYTES = 256 * 1024;

/**
 * A connection over a MessagePort whose other end has one too; the port belongs to the connection from now on. Where the runtime tells of a
 * closed port (Node does; older browsers do not), the connection is lost then.
 */
export function messagePortConnection(port: MessagePortLike): Connection {
  return new MessagePortConnection(port);
}

class MessagePortConnection implements Connection {
  readonly peer: undefined = undefined;
  readonly #port: MessagePortLike;
  readonly #outgoing: SendQueue;
  readonly #incoming: ByteQueue;
  #failure: Error | undefined;
  #isAborted = false;
  #isFinished = false;
  /** What this side may still post. */
  #creditBytes: number = WINDOW_BYTES;
  #onCredit: (() => void) | undefined;
  /** What the peer may still post, and what it will be granted next. */
  #grantedBytes: number = WINDOW_BYTES;
  #consumedBytes = 0;

  constructor(port: MessagePortLike) {
    this.#port = port;
    this.#incoming = new ByteQueue(WINDOW_BYTES, (chunk) => this.#grant(chunk.length + CHUNK_COST_BYTES));
    this.#outgoing = new SendQueue(WINDOW_BYTES, MAX_PIECE_BYTES, {
      pass: async (piece) => {
        const costBytes = piece.length + CHUNK_COST_BYTES;
        while (this.#creditBytes < costBytes) {
          await new Promise<void>((resolve) => {
            this.#onCredit = resolve;
          });
          if (this.#failure !== undefined) throw this.#failure;
        }
        this.#creditBytes -= costBytes;
        this.#post({ type: "bytes", buffer: piece.buffer }, [piece.buffer]);
      },
      finish: async () => {
        this.#post({ type: "close" });
        this.#isFinished = true;
        this.#closePortWhenDone();
      },
    });
    port.addEventListener("message", (event) => this.#take((event as MessageEvent).data));
    port.addEventListener("messageerror", () => this.#breakOff(wrongMessage()));
    port.addEventListener("close", () => {
      if (!this.#isDone) this.#lose(lostError());
    });
    port.start();
  }

  send(bytes: Uint8Array): Promise<void> {
    return this.#outgoing.send(bytes);
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#isAborted ? Promise.reject(this.#failure) : this.#incoming.take();
  }

  close(): Promise<void> {
    return this.#outgoing.close();
  }

  abort(reason: Error): void {
    if (this.#failure !== undefined) return;
    this.#isAborted = true;
    this.#breakOff(reason);
  }

  #take(message: unknown): void {
    if (this.#failure !== undefined) return;
    if (!isPortMessage(message)) this.#breakOff(wrongMessage());
    else if (message.type === "bytes") this.#takeBytes(new Uint8Array(message.buffer));
    else if (message.type === "credit") this.#takeCredit(message.bytes);
    else if (message.type === "close") this.#takeClose();
    else this.#lose(lostError());
  }

  #takeBytes(chunk: Uint8Array): void {
    this.#grantedBytes -= chunk.length + CHUNK_COST_BYTES;
    if (chunk.length === 0 || this.#grantedBytes < 0 || this.#incoming.isEnded) this.#breakOff(wrongMessage());
    else this.#incoming.push(chunk);
  }

  #takeCredit(bytes: number): void {
    this.#creditBytes += bytes;
    if (bytes > 0 && this.#creditBytes <= WINDOW_BYTES) this.#onCredit?.();
    else this.#breakOff(wrongMessage());
  }

  #takeClose(): void {
    this.#incoming.end();
    this.#closePortWhenDone();
  }

  #grant(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#consumedBytes < MIN_GRANT_BYTES || this.#incoming.isEnded) return;
    this.#grantedBytes += this.#consumedBytes;
    this.#post({ type: "credit", bytes: this.#consumedBytes });
    this.#consumedBytes = 0;
  }

  #post(message: PortMessage, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  get #isDone(): boolean {
    return this.#isFinished && this.#incoming.isEnded;
  }

  #closePortWhenDone(): void {
    if (this.#isDone) this.#port.close();
  }

  #breakOff(reason: Error): void {
    this.#post({ type: "abort" });
    this.#lose(reason);
  }

  #lose(reason: Error): void {
    this.#port.close();
    this.#failure ??= reason;
    this.#incoming.fail(this.#failure);
    this.#outgoing.fail(this.#failure);
    this.#onCredit?.();
  }
}

function isPortMessage(message: unknown): message is PortMessage {
  if (typeof message !== "object" || message === null) return false;
  const { type, buffer, bytes } = message as { type?: unknown; buffer?: unknown; bytes?: unknown };
  if (type === "bytes") return buffer instanceof ArrayBuffer;
  if (type === "credit") return typeof bytes === "number";
  return type === "close" || type === "abort";
}

function wrongMessage(): TransportError {
  return new TransportError(
    "connection-lost",
    "The other side of the port sent something that is no message of a connection.",
  );
}
