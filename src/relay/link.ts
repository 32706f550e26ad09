import type { Connection } from "../transport/connection.js";
import { type Checksum, loadChecksum } from "../wire/checksum.js";
import { WireError } from "../wire/errors.js";
import { encodeFrame, encodeFrameHeader, FRAME_HEADER_BYTES, type Frame, FrameParser } from "../wire/frame.js";
import { printable } from "../wire/printable.js";
import {
  decodeRelayMessage,
  RELAY_FRAME_MAX_BYTES,
  RelayFrameType,
  type RelayMessages,
} from "../wire/relay-messages.js";
import { RelayError } from "./errors.js";

/** Larger bodies are not copied only to stand behind their headers. */
const JOINED_MAX_BYTES = 4096;
/** Data is used up at once: it needs no memory of its own each time. */
const REUSED_TYPES: ReadonlySet<number> = new Set([RelayFrameType.data]);
/** What a peer that does not read may leave lying here. More than flow control ever lets come together. */
const MAX_UNSENT_BYTES = 64 << 20;
/** What the protocol takes of an error's text. */
export const MAX_MESSAGE_LENGTH = 4096;
/** The most time that an orderly end takes. */
const CLOSE_MS = 1000;

/** The channel of the session itself. */
export const SESSION_CHANNEL = 0;

/** Frames between two relays, over one connection. */
export class RelayLink {
  readonly connection: Connection;
  readonly #checksum: Checksum;
  readonly #parser: FrameParser;
  #unsentBytes = 0;

  private constructor(connection: Connection, checksum: Checksum) {
    this.connection = connection;
    this.#checksum = checksum;
    this.#parser = new FrameParser(checksum, RELAY_FRAME_MAX_BYTES, REUSED_TYPES);
  }

  static async over(connection: Connection): Promise<RelayLink> {
    return new RelayLink(connection, await loadChecksum());
  }

  send<Name extends keyof RelayMessages>(name: Name, channel: number, message: RelayMessages[Name]): void {
    this.sendBytes(RelayFrameType[name], channel, encodeJson(message));
  }

  /** Sends a frame, and returns its bytes. Where the connection is lost, {@link receive} tells. */
  sendBytes(type: RelayFrameType, channel: number, body: Uint8Array): number {
    const bytes = FRAME_HEADER_BYTES + body.length;
    this.#unsentBytes += bytes;
    if (this.#unsentBytes > MAX_UNSENT_BYTES) {
      this.connection.abort(new RelayError("peer-failed", "The other relay does not read what is sent to it."));
    }
    const { connection } = this;
    const isSmall = body.length <= JOINED_MAX_BYTES;
    const sending = isSmall
      ? connection.send(encodeFrame(this.#checksum, type, channel, body))
      : Promise.all([connection.send(encodeFrameHeader(this.#checksum, type, channel, body)), connection.send(body)]);
    sending.then(
      () => {
        this.#unsentBytes -= bytes;
      },
      () => {},
    );
    return bytes;
  }

  /** The next frame. Throws what ends the session. */
  async receive(): Promise<Frame> {
    for (;;) {
      const frame = this.#parser.next();
      if (frame !== undefined) return this.#checked(frame);
      const bytes = await this.connection.receive();
      if (bytes === undefined) throw new RelayError("connection-lost", "The other relay has gone without a word.");
      this.#parser.push(bytes);
    }
  }

  /** The next frame, which must be of this type and of the session; throws `timeout` where it does not come. */
  async expect(type: RelayFrameType, timeoutMs: number): Promise<Uint8Array> {
    const timer = setTimeout(() => {
      this.connection.abort(new RelayError("timeout", `The other relay sent no greeting within ${timeoutMs} ms.`));
    }, timeoutMs);
    try {
      const frame = await this.receive();
      if (frame.type !== type) throw unexpected(frame);
      return frame.body;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Ends the connection in order, after what was sent: resolves when the peer has ended it too, which `peerEnded` tells. Breaks it where that takes
   * long; never throws.
   */
  async close(peerEnded: Promise<unknown>): Promise<void> {
    const timer = setTimeout(() => {
      this.connection.abort(new RelayError("timeout", "The other relay did not let the connection end."));
    }, CLOSE_MS);
    await Promise.allSettled([this.connection.close(), peerEnded]);
    clearTimeout(timer);
  }

  /** Reads to the end of what the peer sends, and forgets it. */
  async drain(): Promise<void> {
    while ((await this.connection.receive()) !== undefined);
  }

  /** Tells the peer that the session is over and why, and ends the connection; never throws, and never waits for long. */
  async sayGoodbye({ code, message }: RelayError): Promise<void> {
    this.send("fail", SESSION_CHANNEL, { code, message: message.slice(0, MAX_MESSAGE_LENGTH) });
    await this.close(this.drain());
  }

  /** What the peer says about the session in a `fail` frame is thrown. */
  #checked(frame: Frame): Frame {
    if (frame.type === RelayFrameType.fail && frame.channel === SESSION_CHANNEL) throw failureOf(frame.body);
    return frame;
  }
}

function encodeJson(message: RelayMessages[keyof RelayMessages]): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

/** What the peer says in a `fail` frame, as an error. */
export function failureOf(body: Uint8Array): RelayError {
  const said = decodeRelayMessage("fail", body);
  const [code, message] = [printable(said.code), printable(said.message)];
  const known = ["digest-differs", "no-common-version", "qemu-failed", "refused", "cancelled"] as const;
  const own = known.find((name) => name === code);
  return own === undefined
    ? new RelayError("peer-failed", `The other relay gave up (${code}): ${message}`)
    : new RelayError(own, message);
}

/** The error for a frame that is not due. */
export function unexpected({ type, channel }: Frame): WireError {
  return new WireError("message-malformed", `A frame of type ${type} came on channel ${channel}, where none was due.`);
}
