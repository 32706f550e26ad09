import type { Socket } from "node:net";
import { decodeDelivered } from "../wire/relay-data.js";
import { RelayFrameType } from "../wire/relay-messages.js";
import { newKernels, type SourceCodec, type SourceCodecs } from "./codecs.js";
import type { RelayError } from "./errors.js";
import type { LinkFlow } from "./flow.js";
import type { RelayLink } from "./link.js";
import { QemuEnd, type QemuEndEvents } from "./qemu-end.js";
import { type RelayReport, reportOf } from "./report.js";
import { SilenceWatch } from "./silence.js";
import { StreamEncoder } from "./stream-encoder.js";

/** So much of one stream may be on its way to the QEMU at its end: one that does not read holds up nobody else. */
export const WINDOW_BYTES: number = 16 << 20;

/** What all streams of a session have in common. */
export interface SourceSession {
  readonly link: RelayLink;
  readonly flow: LinkFlow;
  readonly codecs: SourceCodecs;
  readonly seed: bigint;
  /** A stream is over. */
  over(report: RelayReport): void;
  /** A stream's channel is free. */
  released(stream: SourceStream): void;
}

/** A stream that comes from a QEMU here. */
export class SourceStream implements QemuEndEvents {
  readonly machine: string;
  readonly end: QemuEnd;
  readonly #session: SourceSession;
  readonly #encoder: StreamEncoder;
  readonly #silence = new SilenceWatch(() => this.#flush());
  readonly #startMs = performance.now();
  #codec: SourceCodec | undefined;
  #rawBytes = 0;
  #deliveredBytes = 0;
  #sentBytes = 0;
  #backBytes = 0;
  #isPaused = false;
  #isInLine = false;
  /** QEMU is silent, or has ended: nothing waits for more. */
  #isSilent = false;
  #hasEnded = false;
  #hasSentEnd = false;

  constructor(machine: string, channel: number, socket: Socket, session: SourceSession) {
    this.machine = machine;
    this.#session = session;
    const { codecs, link, seed } = session;
    this.#encoder = new StreamEncoder(newKernels(), seed, codecs.plain, (pageCount) => {
      this.#codec = codecs.join(machine, pageCount);
      return this.#codec;
    });
    link.send("open", channel, { machine });
    this.end = new QemuEnd(channel, socket, link, this);
  }

  data(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      at += this.#encoder.take(chunk.subarray(at));
      if (at < chunk.length) this.#send(false);
    }
    this.#isSilent = false;
    this.#silence.heard();
    this.#pump();
  }

  ended(): void {
    this.#hasEnded = true;
    this.#flush();
  }

  /** QEMU at the other end has taken something. */
  delivered(body: Uint8Array): void {
    this.#deliveredBytes = Math.max(this.#deliveredBytes, Math.min(decodeDelivered(body), this.#rawBytes));
    this.#pump();
  }

  /** Bytes of the return path. */
  back(bytes: Uint8Array): void {
    this.#backBytes += bytes.length;
    this.end.write(bytes);
  }

  over(error: RelayError | undefined): void {
    this.#silence.stop();
    if (this.#codec !== undefined) this.#session.codecs.leave(this.#codec);
    const bytes = { rawBytes: this.#rawBytes, sentBytes: this.#sentBytes, backBytes: this.#backBytes };
    const { machine } = this;
    const stream = this.end.channel;
    const totalTimeMs = performance.now() - this.#startMs;
    const { statistics } = this.#encoder;
    const compression = this.#codec?.encoder.compressionChoice?.explanation;
    this.#session.over(reportOf({ machine, stream, totalTimeMs, ...bytes, statistics, compression }, error));
  }

  released(): void {
    this.#session.released(this);
  }

  #flush(): void {
    this.#isSilent = true;
    this.#pump();
  }

  /** Sends what makes a batch and, after a silence or at the end, all there is; QEMU waits while the link or the other QEMU cannot take more. */
  #pump(): void {
    while (this.#wantsToSend && !this.end.isOver) {
      if (!this.#maySend()) return;
      this.#send(!this.#encoder.isFilled);
    }
    if (this.#isPaused) {
      this.#isPaused = false;
      this.end.resume();
      this.#silence.heard();
    }
    if (this.#hasEnded && !this.#hasSentEnd) {
      this.#hasSentEnd = true;
      this.end.sendEnd();
    }
  }

  get #wantsToSend(): boolean {
    return this.#encoder.isFilled || (this.#isSilent && this.#encoder.waitingBytes > 0);
  }

  /** Where it may not, it goes on when the link is open again or something was delivered. */
  #maySend(): boolean {
    const { flow } = this.#session;
    const isInWindow = this.#rawBytes - this.#deliveredBytes < WINDOW_BYTES;
    if (flow.isOpen && isInWindow) return true;
    if (this.#encoder.isFilled && !this.#isPaused) {
      this.#isPaused = true;
      this.end.pause();
    }
    if (isInWindow && !this.#isInLine) {
      this.#isInLine = true;
      flow.whenOpen(() => {
        this.#isInLine = false;
        this.#pump();
      });
    }
    return false;
  }

  #send(all: boolean): void {
    const part = this.#encoder.encode(all);
    if (part === undefined) return;
    this.#rawBytes += part.rawBytes;
    const bytes = this.#session.link.sendBytes(RelayFrameType.data, this.end.channel, part.body);
    this.#sentBytes += bytes;
    this.#session.flow.sent(bytes);
  }
}
