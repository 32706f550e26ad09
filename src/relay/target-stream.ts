import type { Socket } from "node:net";
import { decodeDelivered, decodeRelayData } from "../wire/relay-data.js";
import { RELAY_BACK_MAX_BYTES, RelayFrameType } from "../wire/relay-messages.js";
import { newKernels, type TargetCodecs } from "./codecs.js";
import { RelayError } from "./errors.js";
import type { RelayLink } from "./link.js";
import { QemuEnd, type QemuEndEvents } from "./qemu-end.js";
import { type RelayReport, reportOf } from "./report.js";
import { WINDOW_BYTES } from "./source-stream.js";
import { StreamDecoder } from "./stream-decoder.js";

/** So much of the return path may be on its way. QEMU sends some hundred bytes. */
const BACK_WINDOW_BYTES = 1 << 20;

/** New memory costs more than a copy: so many buffers are kept for further use. */
const MAX_SPARE_BUFFERS = 4;

/** What all streams of a session have in common. */
export interface TargetSession {
  readonly link: RelayLink;
  readonly codecs: TargetCodecs;
  readonly seed: bigint;
  over(report: RelayReport): void;
  released(stream: TargetStream): void;
}

/** A stream that goes to a QEMU here. */
export class TargetStream implements QemuEndEvents {
  readonly machine: string;
  readonly end: QemuEnd;
  readonly #session: TargetSession;
  readonly #decoder: StreamDecoder;
  readonly #startMs = performance.now();
  #rawBytes = 0;
  #receivedBytes = 0;
  #backBytes = 0;
  #backDeliveredBytes = 0;
  #isBroken = false;
  /** Buffers that QEMU has taken what was in them. */
  readonly #spare: Uint8Array[] = [];

  constructor(machine: string, channel: number, socket: Socket, session: TargetSession) {
    this.machine = machine;
    this.#session = session;
    this.#decoder = new StreamDecoder(newKernels(), session.seed, session.codecs);
    this.end = new QemuEnd(channel, socket, session.link, this);
  }

  /**
   * Takes the body of a data frame. A stream that is over is decoded too, for the sake of those that share its codec; one whose parts do not come out
   * as they went in is broken off. Throws `protocol`.
   */
  async part(body: Uint8Array): Promise<void> {
    this.#receivedBytes += body.length;
    if (this.#isBroken) return;
    const data = decodeRelayData(body);
    if (this.end.undeliveredBytes > WINDOW_BYTES) {
      throw new RelayError("protocol", "The other relay sends more of a stream than its window allows.");
    }
    try {
      const bytes = await this.#decoder.decode(data);
      this.#rawBytes += bytes.length;
      this.#write(bytes);
    } catch (cause) {
      if (cause instanceof RelayError && cause.code === "protocol") throw cause;
      this.#isBroken = true;
      const error =
        cause instanceof RelayError ? cause : new RelayError("stream-malformed", (cause as Error).message, { cause });
      this.end.fail(error);
    }
  }

  /** Writes a copy, in memory that is used again. */
  #write(bytes: Uint8Array): void {
    let buffer = this.#spare.pop();
    if (buffer === undefined || buffer.length < bytes.length) buffer = new Uint8Array(bytes.length);
    const whole = buffer;
    whole.set(bytes);
    this.end.write(whole.subarray(0, bytes.length), () => {
      if (this.#spare.length < MAX_SPARE_BUFFERS) this.#spare.push(whole);
    });
  }

  data(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; at += RELAY_BACK_MAX_BYTES) {
      const part = chunk.subarray(at, at + RELAY_BACK_MAX_BYTES);
      this.#session.link.sendBytes(RelayFrameType.back, this.end.channel, part);
    }
    this.#backBytes += chunk.length;
    if (this.#backBytes - this.#backDeliveredBytes > BACK_WINDOW_BYTES) this.end.pause();
  }

  ended(): void {
    this.end.sendEnd();
  }

  /** The QEMU at the source has taken something of the return path. */
  delivered(body: Uint8Array): void {
    this.#backDeliveredBytes = Math.max(this.#backDeliveredBytes, Math.min(decodeDelivered(body), this.#backBytes));
    if (this.#backBytes - this.#backDeliveredBytes <= BACK_WINDOW_BYTES && !this.end.isOver) this.end.resume();
  }

  over(error: RelayError | undefined): void {
    const bytes = { rawBytes: this.#rawBytes, sentBytes: this.#receivedBytes, backBytes: this.#backBytes };
    const totalTimeMs = performance.now() - this.#startMs;
    this.#session.over(reportOf({ machine: this.machine, stream: this.end.channel, totalTimeMs, ...bytes }, error));
  }

  released(): void {
    this.#session.released(this);
  }
}
