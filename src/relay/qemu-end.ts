import type { Socket } from "node:net";
import { encodeDelivered } from "../wire/relay-data.js";
import { RelayFrameType } from "../wire/relay-messages.js";
import { resetSocket } from "./address.js";
import { RelayError } from "./errors.js";
import { MAX_MESSAGE_LENGTH, type RelayLink } from "./link.js";

/** Takes what happens at a {@link QemuEnd}. */
export interface QemuEndEvents {
  data(chunk: Uint8Array): void;
  /** QEMU sends no more; what came before must have been sent before {@link QemuEnd.sendEnd} is called. */
  ended(): void;
  /** It is over, in order or with an error; called once. */
  over(error: RelayError | undefined): void;
  /** Both ends know that it is over: the channel is free. */
  released(): void;
}

/**
 * One relay's end of a stream: QEMU's socket, and the stream's channel on the link. Each direction ends for itself; a failure ends both, at
 * both relays.
 */
export class QemuEnd {
  readonly channel: number;
  readonly #socket: Socket;
  readonly #link: RelayLink;
  readonly #events: QemuEndEvents;
  #deliveredBytes = 0;
  #writtenBytes = 0;
  #hasSentEnd = false;
  #hasGotEnd = false;
  #hasSentFail = false;
  #hasGotFail = false;
  #isOver = false;

  constructor(channel: number, socket: Socket, link: RelayLink, events: QemuEndEvents) {
    this.channel = channel;
    this.#socket = socket;
    this.#link = link;
    this.#events = events;
    socket.on("data", (chunk: Buffer) => events.data(chunk));
    socket.on("end", () => events.ended());
    socket.on("error", (cause: NodeJS.ErrnoException) => {
      const what =
        cause.code === "ECONNREFUSED" || cause.code === "ENOENT" ? "QEMU does not wait there" : "QEMU broke off";
      this.fail(new RelayError("qemu-failed", `${what} (${cause.code ?? cause.message}).`, { cause }));
    });
    socket.on("close", () => this.#closed());
  }

  /** Whether QEMU can still be given something. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** What was given to QEMU and not taken yet. */
  get undeliveredBytes(): number {
    return this.#isOver ? 0 : this.#writtenBytes - this.#deliveredBytes;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Gives QEMU bytes, which must stay as they are until `onTaken` is called; the other relay hears when they are taken. */
  write(bytes: Uint8Array, onTaken: () => void = () => {}): void {
    if (this.#isOver) return;
    this.#writtenBytes += bytes.length;
    this.#socket.write(bytes, (error) => {
      onTaken();
      if (error) return;
      this.#deliveredBytes += bytes.length;
      this.#link.sendBytes(RelayFrameType.delivered, this.channel, encodeDelivered(this.#deliveredBytes));
    });
  }

  /** Everything that QEMU sent is on its way: the other relay may end that direction. */
  sendEnd(): void {
    if (this.#isOver) return;
    this.#hasSentEnd = true;
    this.#link.send("end", this.channel, {});
    this.#look();
  }

  /** The other relay's QEMU sends no more. */
  gotEnd(): void {
    this.#hasGotEnd = true;
    if (!this.#isOver) this.#socket.end();
    this.#look();
  }

  /** The other relay has broken off. */
  gotFail(error: RelayError): void {
    this.#hasGotFail = true;
    this.fail(error);
    this.#look();
  }

  /** Breaks off here and there. */
  fail(error: RelayError): void {
    if (this.#isOver) return;
    this.#hasSentFail = true;
    this.#link.send("fail", this.channel, { code: error.code, message: error.message.slice(0, MAX_MESSAGE_LENGTH) });
    this.abandon(error);
    this.#look();
  }

  /** Breaks off where there is nobody left to be told. */
  abandon(error: RelayError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    resetSocket(this.#socket);
    this.#events.over(error);
  }

  /** Both directions have ended and what was written is on its way, or the socket was destroyed. */
  #closed(): void {
    if (this.#isOver) return;
    if (this.#hasEnded) {
      this.#isOver = true;
      this.#events.over(undefined);
    } else {
      this.fail(new RelayError("qemu-failed", "QEMU's connection has closed."));
    }
  }

  /** Both directions have, in order: what is left goes through QEMU's socket only. */
  get #hasEnded(): boolean {
    return this.#hasSentEnd && this.#hasGotEnd;
  }

  #look(): void {
    if (this.#hasEnded || (this.#hasSentFail && this.#hasGotFail)) this.#events.released();
  }
}
