import { ByteQueue, CHUNK_COST_BYTES } from "./byte-queue.js";
import { lostError } from "./check.js";
import type { Connection } from "./connection.js";
import { TransportError } from "./errors.js";
import { SendQueue } from "./send-queue.js";

/**
 * What two credited connections say to each other. Bytes cost their length and {@link CHUNK_COST_BYTES} of credit; each side starts with the
 * link's window of it and is granted back what the other side has consumed. After `close` a side sends no more bytes.
 */
export type LinkMessage =
  | { readonly type: "bytes"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: "credit"; readonly bytes: number }
  | { readonly type: "close" }
  | { readonly type: "abort" };

/** Something that carries whole messages, in order, and that no reader can hold back. */
export interface MessageLink {
  /** How much a side may have posted that the other has not consumed; the same at both ends. */
  readonly windowBytes: number;
  /** The most bytes in one message. */
  readonly pieceBytes: number;
  /**
   * Whether bytes may be posted at this moment. It is asked again at every grant of credit: what still waits inside the link comes back as
   * such, so a link that is open need not tell of its room. It must not say no while less than {@link MIN_GRANT_BYTES} wait in it.
   */
  readonly hasRoom: boolean;
  /** Never throws; says nothing where the link is not open. The bytes belong to the link from now on. */
  post(message: LinkMessage): void;
  /** Passes on what was posted, then gives the link up. Calling it again changes nothing. */
  close(): void;
}

/** Where a link tells of what happens to it. */
export interface LinkReceiver {
  /** A message has come; undefined: something that is none. */
  take(message: LinkMessage | undefined): void;
  /** The link carries no more, for whatever reason. */
  lose(cause?: unknown): void;
  /** {@link MessageLink.hasRoom} may have become true. */
  wake(): void;
}

/** Small grants are put together up to this; the rest of the window must hold a whole piece. */
export const MIN_GRANT_BYTES: number = 256 * 1024;
/** `send` waits while more than this has not been posted. */
const UNSENT_BYTES = 1024 * 1024;

/** A connection over a link that cannot be held back by its reader: each side posts only what the other side has granted. */
export function creditedConnection(open: (receiver: LinkReceiver) => MessageLink): Connection {
  return new CreditedConnection(open);
}

class CreditedConnection implements Connection {
  readonly peer: undefined = undefined;
  readonly #link: MessageLink;
  readonly #outgoing: SendQueue;
  readonly #incoming: ByteQueue;
  #failure: Error | undefined;
  #isAborted = false;
  #isFinished = false;
  /** What this side may still post. */
  #creditBytes: number;
  #onRoom: (() => void) | undefined;
  /** What the peer may still post, and what it will be granted next. */
  #grantedBytes: number;
  #consumedBytes = 0;

  constructor(open: (receiver: LinkReceiver) => MessageLink) {
    const link = open({
      take: (message) => this.#take(message),
      lose: (cause) => {
        if (!this.#isDone) this.#lose(lostError(cause));
      },
      wake: () => this.#onRoom?.(),
    });
    this.#link = link;
    this.#creditBytes = link.windowBytes;
    this.#grantedBytes = link.windowBytes;
    this.#incoming = new ByteQueue(link.windowBytes, (chunk) => this.#grant(chunk.length + CHUNK_COST_BYTES));
    this.#outgoing = new SendQueue(UNSENT_BYTES, link.pieceBytes, {
      pass: async (bytes) => {
        const costBytes = bytes.length + CHUNK_COST_BYTES;
        await this.#room(costBytes);
        this.#creditBytes -= costBytes;
        link.post({ type: "bytes", bytes });
      },
      finish: async () => {
        await this.#room(0);
        link.post({ type: "close" });
        this.#isFinished = true;
        this.#closeLinkWhenDone();
      },
    });
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

  async #room(costBytes: number): Promise<void> {
    while (this.#creditBytes < costBytes || !this.#link.hasRoom) {
      await new Promise<void>((resolve) => {
        this.#onRoom = resolve;
      });
      if (this.#failure !== undefined) throw this.#failure;
    }
  }

  #take(message: LinkMessage | undefined): void {
    if (this.#failure !== undefined) return;
    if (message === undefined) this.#breakOff(wrongMessage());
    else if (message.type === "bytes") this.#takeBytes(message.bytes);
    else if (message.type === "credit") this.#takeCredit(message.bytes);
    else if (message.type === "close") this.#takeClose();
    else this.#lose(lostError());
  }

  #takeBytes(bytes: Uint8Array): void {
    this.#grantedBytes -= bytes.length + CHUNK_COST_BYTES;
    if (bytes.length === 0 || this.#grantedBytes < 0 || this.#incoming.isEnded) this.#breakOff(wrongMessage());
    else this.#incoming.push(bytes);
  }

  #takeCredit(bytes: number): void {
    this.#creditBytes += bytes;
    if (bytes > 0 && this.#creditBytes <= this.#link.windowBytes) this.#onRoom?.();
    else this.#breakOff(wrongMessage());
  }

  #takeClose(): void {
    this.#incoming.end();
    this.#closeLinkWhenDone();
  }

  #grant(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#consumedBytes < MIN_GRANT_BYTES || this.#incoming.isEnded) return;
    this.#grantedBytes += this.#consumedBytes;
    this.#link.post({ type: "credit", bytes: this.#consumedBytes });
    this.#consumedBytes = 0;
  }

  get #isDone(): boolean {
    return this.#isFinished && this.#incoming.isEnded;
  }

  #closeLinkWhenDone(): void {
    if (this.#isDone) this.#link.close();
  }

  #breakOff(reason: Error): void {
    this.#link.post({ type: "abort" });
    this.#lose(reason);
  }

  #lose(reason: Error): void {
    this.#link.close();
    this.#failure ??= reason;
    this.#incoming.fail(this.#failure);
    this.#outgoing.fail(this.#failure);
    this.#onRoom?.();
  }
}

function wrongMessage(): TransportError {
  return new TransportError("connection-lost", "The other side sent something that is no message of a connection.");
}
