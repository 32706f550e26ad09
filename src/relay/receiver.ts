import type { Connection, Peer } from "../transport/connection.js";
import { encodeConfirmation } from "../wire/confirmation.js";
import { FRAME_HEADER_BYTES, type Frame } from "../wire/frame.js";
import {
  decodeRelayMessage,
  RELAY_PROTOCOL_VERSION,
  RelayFrameType,
  type RelayMessages,
} from "../wire/relay-messages.js";
import { connectToQemu } from "./address.js";
import { TargetCodecs } from "./codecs.js";
import { RelayError } from "./errors.js";
import { failureOf, RelayLink, SESSION_CHANNEL, unexpected } from "./link.js";
import { checkedCacheBytes, type RelayReceiveOptions } from "./options.js";
import type { RelayReport } from "./report.js";
import { asRelayError, GREETING_MS, Streams } from "./session.js";
import { type TargetSession, TargetStream } from "./target-stream.js";

/** The destination relay: takes connections of source relays and delivers their streams to QEMUs that wait here, and to no others. */
export class RelayReceiver {
  readonly #options: RelayReceiveOptions;
  readonly #sessions = new Set<Session>();
  /** What is left for caches of further connections. */
  #freeBytes: number;
  #isClosed = false;

  /** Throws `argument`. */
  constructor(options: RelayReceiveOptions) {
    this.#options = options;
    this.#freeBytes = checkedCacheBytes(options);
  }

  /**
   * Serves a source relay until its session ends. Resolves after an orderly end. Throws {@link RelayError} when the
   * session is lost, `refused`, `no-common-version`, `timeout`, `protocol`.
   */
  async receive(connection: Connection): Promise<void> {
    const link = await RelayLink.over(connection);
    let cacheBytes = 0;
    let session: Session | undefined;
    try {
      const hello = decodeRelayMessage("hello", await link.expect(RelayFrameType.hello, GREETING_MS));
      this.#check(hello, connection.peer);
      cacheBytes = Math.min(hello.cacheBytes, this.#freeBytes);
      this.#freeBytes -= cacheBytes;
      session = new Session(link, BigInt(`0x${hello.seed}`), cacheBytes, this.#options);
      this.#sessions.add(session);
      const versions = [RELAY_PROTOCOL_VERSION, RELAY_PROTOCOL_VERSION] as const;
      link.send("welcome", SESSION_CHANNEL, { versions, cacheBytes });
    } catch (cause) {
      const error = asRelayError(cause);
      await link.sayGoodbye(error);
      throw error;
    }
    try {
      await session.run();
    } finally {
      this.#sessions.delete(session);
      this.#freeBytes += cacheBytes;
    }
  }

  /** Breaks off all streams and ends all sessions. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#sessions].map((session) => session.close()));
  }

  #check({ versions, machines }: RelayMessages["hello"], peer: Peer | undefined): void {
    if (versions[0] > RELAY_PROTOCOL_VERSION || versions[1] < RELAY_PROTOCOL_VERSION) {
      const own = `versions ${versions[0]} to ${versions[1]} of the relay's protocol, this end only ${RELAY_PROTOCOL_VERSION}`;
      throw new RelayError("no-common-version", `The source relay speaks ${own}.`);
    }
    if (this.#isClosed) throw new RelayError("refused", "The relay is being stopped.");
    const answer = this.#options.authorise?.(peer) ?? true;
    if (answer !== true) throw new RelayError("refused", answer);
    const missing = machines.find((name) => !this.#options.machines.some((machine) => machine.name === name));
    if (missing !== undefined) {
      throw new RelayError(
        "refused",
        `The destination relay does not deliver to a machine ${JSON.stringify(missing)}.`,
      );
    }
  }
}

class Session implements TargetSession {
  readonly link: RelayLink;
  readonly codecs: TargetCodecs;
  readonly seed: bigint;
  readonly #options: RelayReceiveOptions;
  readonly #streams: Streams<TargetStream>;
  #receivedBytes = 0;

  constructor(link: RelayLink, seed: bigint, cacheBytes: number, options: RelayReceiveOptions) {
    this.link = link;
    this.codecs = new TargetCodecs(cacheBytes);
    this.seed = seed;
    this.#options = options;
    this.#streams = new Streams(link);
  }

  over(report: RelayReport): void {
    this.#options.onEvent?.({ event: "closed", report }, this.link.connection.peer);
  }

  released(stream: TargetStream): void {
    this.#streams.delete(stream);
  }

  run(): Promise<void> {
    return this.#streams.run(async () => this.#take(await this.link.receive()));
  }

  close(): Promise<void> {
    return this.#streams.close();
  }

  async #take(frame: Frame): Promise<"end" | undefined> {
    const { type, channel, body } = frame;
    if (channel === SESSION_CHANNEL) return this.#takeOfSession(frame);
    if (type === RelayFrameType.data) this.#confirm(body.length);
    const stream = this.#streams.get(channel);
    if (type === RelayFrameType.open) {
      if (stream !== undefined) throw unexpected(frame);
      this.#open(decodeRelayMessage("open", body).machine, channel);
      return undefined;
    }
    // What was on its way when the stream was over means nothing any more.
    if (stream === undefined) return undefined;
    switch (type) {
      case RelayFrameType.data:
        await stream.part(body);
        break;
      case RelayFrameType.delivered:
        stream.delivered(body);
        break;
      case RelayFrameType.end:
        stream.end.gotEnd();
        break;
      case RelayFrameType.fail:
        stream.end.gotFail(failureOf(body));
        break;
      default:
        throw unexpected(frame);
    }
    return undefined;
  }

  #takeOfSession(frame: Frame): "end" | undefined {
    const { type, body } = frame;
    switch (type) {
      case RelayFrameType.end:
        return "end";
      case RelayFrameType.codec: {
        const { codec, cacheBytes } = decodeRelayMessage("codec", body);
        this.codecs.create(codec, cacheBytes);
        return undefined;
      }
      case RelayFrameType.drop:
        this.codecs.drop(decodeRelayMessage("drop", body).codec);
        return undefined;
      default:
        throw unexpected(frame);
    }
  }

  /** The link has brought something, whatever becomes of it here. */
  #confirm(bodyBytes: number): void {
    this.#receivedBytes += FRAME_HEADER_BYTES + bodyBytes;
    const confirmation = encodeConfirmation(this.#receivedBytes);
    this.link.sendBytes(RelayFrameType.received, SESSION_CHANNEL, confirmation);
  }

  #open(machine: string, channel: number): void {
    const target = this.#options.machines.find(({ name }) => name === machine);
    if (target === undefined || this.#streams.isFull) {
      throw new RelayError("protocol", "The other relay opens a stream that was not agreed on.");
    }
    const stream = new TargetStream(machine, channel, connectToQemu(target.deliver), this);
    this.#streams.add(stream);
    this.#options.onEvent?.({ event: "opened", machine, stream: channel }, this.link.connection.peer);
  }
}
