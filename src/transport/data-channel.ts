import type { Connection } from "./connection.js";
import {
  creditedConnection,
  type LinkMessage,
  type LinkReceiver,
  type MessageLink,
  MIN_GRANT_BYTES,
} from "./credited.js";
import { TransportError } from "./errors.js";
import { decodeLinkMessage, encodeLinkMessage, LINK_HEADER_BYTES } from "./link-frame.js";

/** All browsers carry messages of this size; larger ones block others for longer and are no faster. */
const MESSAGE_BYTES: number = 64 * 1024;
/** The channel may hold so much that the network has not taken; it must be more than one grant (see {@link MessageLink.hasRoom}). */
const MOST_WAITING_BYTES: number = 2 * MIN_GRANT_BYTES;

/**
 * A connection over a WebRTC data channel whose other end has one too; it may be opening still. The channel belongs to the connection from now
 * on, and must be ordered and reliable (throws `argument`). It is lost when the channel closes, or `loss` is aborted: of a peer connection that
 * fails a channel may not hear, so whoever owns that says so.
 */
export function dataChannelConnection(channel: RTCDataChannel, loss?: AbortSignal): Connection {
  if (!channel.ordered || channel.maxRetransmits !== null || channel.maxPacketLifeTime !== null) {
    throw new TransportError("argument", "The data channel must be ordered and reliable.");
  }
  return creditedConnection((receiver) => new ChannelLink(channel, receiver, loss));
}

class ChannelLink implements MessageLink {
  readonly windowBytes: number = 4 * 1024 * 1024;
  readonly pieceBytes: number = MESSAGE_BYTES - LINK_HEADER_BYTES;
  readonly #channel: RTCDataChannel;

  constructor(channel: RTCDataChannel, receiver: LinkReceiver, loss: AbortSignal | undefined) {
    this.#channel = channel;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = MOST_WAITING_BYTES / 2;
    channel.addEventListener("open", () => receiver.wake());
    channel.addEventListener("bufferedamountlow", () => receiver.wake());
    channel.addEventListener("message", (event) => receiver.take(decodeLinkMessage(event.data)));
    channel.addEventListener("close", () => receiver.lose());
    loss?.addEventListener("abort", () => receiver.lose(loss.reason));
  }

  get hasRoom(): boolean {
    return this.#channel.readyState === "open" && this.#channel.bufferedAmount <= MOST_WAITING_BYTES;
  }

  post(message: LinkMessage): void {
    if (this.#channel.readyState === "open") this.#channel.send(encodeLinkMessage(message));
  }

  close(): void {
    this.#channel.close();
  }
}
