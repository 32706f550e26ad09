import type { Connection } from "../transport/connection.js";
import { type Checksum, loadChecksum } from "../wire/checksum.js";
import { WireError } from "../wire/errors.js";
import { encodeFrame, encodeFrameHeader, FRAME_HEADER_BYTES, type Frame, FrameParser } from "../wire/frame.js";
import {
  decodeMessage,
  encodeMessage,
  FRAME_MAX_BYTES,
  FrameType,
  type Messages,
  PROTOCOL_VERSION,
} from "../wire/messages.js";
import { printable } from "../wire/printable.js";
import { MigrationError } from "./errors.js";

/** The one machine of a session; further ones would have channels of their own. */
const MACHINE_CHANNEL = 1;

/** The most time that telling a peer what went wrong takes. */
const FAREWELL_MS = 1000;

/** Batches are used up one by one: they need no memory of their own each. */
const REUSED_TYPES: ReadonlySet<number> = new Set([FrameType.batch]);
/** Larger bodies are not copied only to stand behind their headers. */
const JOINED_MAX_BYTES = 4096;

/** Frames over a connection, one machine's. */
export class Channel {
  readonly connection: Connection;
  /** Bytes of all frames sent. */
  bytesSent = 0;
  /** When something came from the peer, on the clock of `performance.now()`. */
  lastHeardMs: number = performance.now();
  readonly #checksum: Checksum;
  readonly #parser: FrameParser;

  private constructor(connection: Connection, checksum: Checksum) {
    this.connection = connection;
    this.#checksum = checksum;
    this.#parser = new FrameParser(checksum, FRAME_MAX_BYTES, REUSED_TYPES);
  }

  /** Greets the peer and agrees on a version. Throws `no-common-version`, `timeout`, {@link WireError}. */
  static async open(connection: Connection, timeoutMs: number): Promise<Channel> {
    const channel = new Channel(connection, await loadChecksum());
    const { versions } = await withTimeout(channel.#greet(timeoutMs), timeoutMs, "The peer sent no greeting");
    if (versions[0] > PROTOCOL_VERSION || versions[1] < PROTOCOL_VERSION) {
      throw new MigrationError(
        "no-common-version",
        `The peer speaks versions ${versions[0]} to ${versions[1]} of the protocol, this end only ${PROTOCOL_VERSION}.`,
      );
    }
    return channel;
  }

  async #greet(timeoutMs: number): Promise<Messages["hello"]> {
    const versions = [PROTOCOL_VERSION, PROTOCOL_VERSION] as const;
    await this.send("hello", { protocol: "pageferry", versions, features: [] });
    const frame = await expectFrame(this, timeoutMs, FrameType.hello);
    return decodeMessage("hello", frame.body);
  }

  /** Sends a message; resolves when more may be sent. */
  send<Name extends keyof Messages>(name: Name, message: Messages[Name]): Promise<void> {
    return this.sendBytes(FrameType[name], encodeMessage(message));
  }

  sendBytes(type: FrameType, body: Uint8Array): Promise<void> {
    const channel = type === FrameType.hello ? 0 : MACHINE_CHANNEL;
    this.bytesSent += FRAME_HEADER_BYTES + body.length;
    if (body.length <= JOINED_MAX_BYTES) {
      return this.connection.send(encodeFrame(this.#checksum, type, channel, body));
    }
    const header = this.connection.send(encodeFrameHeader(this.#checksum, type, channel, body));
    return Promise.all([header, this.connection.send(body)]).then(() => {});
  }

  /** Tells the peer, if it still listens, that it is over and why, and ends the connection; never throws, and never waits for long. */
  async sayGoodbye({ code, message }: MigrationError): Promise<void> {
    const farewell = async (): Promise<void> => {
      await this.send("fail", { code: code.slice(0, 64), message: message.slice(0, 4096) });
      await this.connection.close();
    };
    await withTimeout(farewell(), FAREWELL_MS, "The peer did not take the farewell").catch(() => {});
  }

  /** Ends the connection in order, or breaks it where the peer does not let it end in time; never throws. */
  async close(timeoutMs: number = FAREWELL_MS): Promise<void> {
    const what = "The connection did not end";
    await withTimeout(this.connection.close(), timeoutMs, what).catch((error) => this.connection.abort(error));
  }

  /** The next frame, or undefined after the peer ended the connection in order. Throws `timeout` where nothing at all comes for so long. */
  async receive(timeoutMs: number | undefined): Promise<Frame | undefined> {
    for (;;) {
      const frame = this.#parser.next();
      if (frame !== undefined && this.#checked(frame).type !== FrameType.alive) return frame;
      if (frame !== undefined) continue;
      const receiving = this.connection.receive();
      const bytes = await (timeoutMs === undefined
        ? receiving
        : withTimeout(receiving, timeoutMs, "Nothing came from the peer"));
      if (bytes === undefined) {
        if (!this.#parser.isInsideFrame) return undefined;
        throw new WireError("unexpected-end", "The peer ended the connection in the middle of a frame.");
      }
      this.lastHeardMs = performance.now();
      this.#parser.push(bytes);
    }
  }

  #checked(frame: Frame): Frame {
    if (frame.channel === (frame.type === FrameType.hello ? 0 : MACHINE_CHANNEL)) return frame;
    throw new WireError("message-malformed", `A frame of type ${frame.type} came on channel ${frame.channel}.`);
  }
}

/** The next frame, which must be of one of these types; what the peer says in a `fail` frame is thrown. */
export async function expectFrame(
  channel: Channel,
  timeoutMs: number | undefined,
  ...types: readonly FrameType[]
): Promise<Frame> {
  const frame = await channel.receive(timeoutMs);
  if (frame === undefined) throw new MigrationError("connection-lost", "The peer ended the connection.");
  const failure = failureOf(frame);
  if (failure !== undefined) throw failure;
  if ((types as readonly number[]).includes(frame.type)) return frame;
  throw new WireError("message-malformed", `A frame of type ${frame.type} came where ${types.join(" or ")} was due.`);
}

/** What the peer says in a `fail` frame, as an error; undefined for other frames. */
export function failureOf(frame: Frame): MigrationError | undefined {
  if (frame.type !== FrameType.fail) return undefined;
  const said = decodeMessage("fail", frame.body);
  const [code, message] = [printable(said.code), printable(said.message)];
  if (code === "refused" || code === "memory-limit" || code === "content-differs") {
    return new MigrationError(code, message);
  }
  return new MigrationError("peer-failed", `The peer gave up (${code}): ${message}`);
}

/** Rejects with `timeout` where the promise takes longer. */
export async function withTimeout<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new MigrationError("timeout", `${what} within ${timeoutMs} ms.`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
