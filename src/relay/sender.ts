import type { Socket } from "node:net";
import { loadZstd } from "../page/compression/zstd.js";
import { decodeConfirmation } from "../wire/confirmation.js";
import type { Frame } from "../wire/frame.js";
import {
  decodeRelayMessage,
  RELAY_PROTOCOL_VERSION,
  RelayFrameType,
  type RelayMessages,
} from "../wire/relay-messages.js";
import { listenForQemu, type QemuAddress, type QemuListener, resetSocket } from "./address.js";
import { SourceCodecs } from "./codecs.js";
import { LinkFlow } from "./flow.js";
import { failureOf, RelayLink, SESSION_CHANNEL, unexpected } from "./link.js";
import { checkedCacheBytes, type RelaySendOptions } from "./options.js";
import type { RelayReport } from "./report.js";
import { asRelayError, GREETING_MS, Streams } from "./session.js";
import { type SourceSession, SourceStream } from "./source-stream.js";

/** Channels are numbers of 16 bits. */
const MAX_CHANNEL = 65535;

/** A running source relay. */
export interface RelaySession {
  /** Where each machine's QEMU shall migrate to, in the order of the options. */
  readonly addresses: readonly QemuAddress[];
  /** Resolves when the session was closed, here or there; rejects with a {@link RelayError} when it was lost. Streams are broken off before. */
  readonly ended: Promise<void>;
  /** Takes no more streams, breaks off those that there are, and ends the connection. */
  close(): Promise<void>;
}

/**
 * Carries the migration streams of QEMUs here to those that wait at the other relay, byte for byte, for as long as the connection lasts. Throws
 * {@link RelayError}: `argument`, `refused`, `no-common-version`, `timeout`, `connection-lost`, `protocol`.
 */
export async function relaySend(options: RelaySendOptions): Promise<RelaySession> {
  const { connection, machines, compression = "auto" } = options;
  const cacheBytes = checkedCacheBytes(options);
  const zstd = compression === "zstd" ? await loadZstd() : undefined;
  const link = await RelayLink.over(connection);
  const seed = crypto.getRandomValues(new BigUint64Array(1))[0] as bigint;
  link.send("hello", SESSION_CHANNEL, {
    protocol: "pageferry-relay",
    versions: [RELAY_PROTOCOL_VERSION, RELAY_PROTOCOL_VERSION],
    machines: machines.map(({ name }) => name),
    cacheBytes,
    seed: seed.toString(16).padStart(16, "0"),
  });
  const welcome = await greeted(link);
  const codecs = new SourceCodecs({
    share: options.share ?? [],
    cacheBytes: Math.min(cacheBytes, welcome.cacheBytes),
    compression,
    zstd,
    onCreate: ({ id, cacheBytes }) => link.send("codec", SESSION_CHANNEL, { codec: id, cacheBytes }),
    onDrop: ({ id }) => link.send("drop", SESSION_CHANNEL, { codec: id }),
  });
  const sender = new Sender(link, codecs, seed, options);
  const listeners: QemuListener[] = [];
  const stopListening = (): void => {
    for (const listener of listeners) listener.close();
  };
  try {
    for (const { name, listen } of machines) {
      listeners.push(await listenForQemu(listen, (socket) => sender.open(name, socket)));
    }
  } catch (error) {
    stopListening();
    await sender.close();
    throw error;
  }
  const ended = sender.run().finally(stopListening);
  ended.catch(() => {});
  return {
    addresses: listeners.map(({ address }) => address),
    ended,
    async close() {
      stopListening();
      await sender.close();
    },
  };
}

/** The other relay's answer; where it does not come, or is a refusal, the connection is ended. */
async function greeted(link: RelayLink): Promise<RelayMessages["welcome"]> {
  try {
    return decodeRelayMessage("welcome", await link.expect(RelayFrameType.welcome, GREETING_MS));
  } catch (cause) {
    const error = asRelayError(cause);
    await link.sayGoodbye(error);
    throw error;
  }
}

class Sender implements SourceSession {
  readonly link: RelayLink;
  readonly codecs: SourceCodecs;
  readonly flow: LinkFlow;
  readonly seed: bigint;
  readonly #options: RelaySendOptions;
  readonly #streams: Streams<SourceStream>;
  #lastChannel = 0;

  constructor(link: RelayLink, codecs: SourceCodecs, seed: bigint, options: RelaySendOptions) {
    this.link = link;
    this.codecs = codecs;
    this.seed = seed;
    this.flow = new LinkFlow((bytesPerSecond) => codecs.observeLink(bytesPerSecond));
    this.#options = options;
    this.#streams = new Streams(link);
  }

  /** A machine's QEMU has connected. */
  open(machine: string, socket: Socket): void {
    if (this.#streams.isFull) {
      resetSocket(socket);
      return;
    }
    do this.#lastChannel = (this.#lastChannel % MAX_CHANNEL) + 1;
    while (this.#streams.get(this.#lastChannel) !== undefined);
    const stream = new SourceStream(machine, this.#lastChannel, socket, this);
    this.#streams.add(stream);
    this.#options.onEvent?.({ event: "opened", machine, stream: stream.end.channel });
  }

  over(report: RelayReport): void {
    this.#options.onEvent?.({ event: "closed", report });
  }

  released(stream: SourceStream): void {
    this.#streams.delete(stream);
  }

  run(): Promise<void> {
    return this.#streams.run(async () => this.#take(await this.link.receive()));
  }

  close(): Promise<void> {
    return this.#streams.close();
  }

  #take(frame: Frame): "end" | undefined {
    const { type, channel, body } = frame;
    if (channel === SESSION_CHANNEL) {
      if (type === RelayFrameType.end) return "end";
      if (type !== RelayFrameType.received) throw unexpected(frame);
      this.flow.received(decodeConfirmation(body));
      return undefined;
    }
    const stream = this.#streams.get(channel);
    // What was on its way when the stream was over means nothing any more.
    if (stream === undefined) return undefined;
    switch (type) {
      case RelayFrameType.delivered:
        stream.delivered(body);
        break;
      case RelayFrameType.back:
        stream.back(body);
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
}
