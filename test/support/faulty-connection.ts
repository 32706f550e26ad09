import type { Connection } from "../../src/transport/connection.js";
import { TransportError } from "../../src/transport/errors.js";
import { FRAME_HEADER_BYTES } from "../../src/wire/frame.js";

/** What happens to one frame on its way, and to the connection. */
export const FAULTS = [
  /** The connection breaks instead. */
  "cut",
  /** It comes later, and everything behind it. */
  "delay",
  /** Its second half is missing; what follows comes. */
  "truncate",
  /** It comes by half, then the connection ends in order. */
  "end",
  "flip-header",
  "flip-body",
  "duplicate",
  /** It comes after the next one; never, if there is none. */
  "swap",
  /** Nothing more comes in this direction, not even the news that the connection broke. */
  "silence",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Which frame of a direction, counted from 0, meets which fault. */
export interface Script {
  readonly direction: "sent" | "received";
  readonly frame: number;
  readonly fault: Fault;
  readonly delayMs?: number;
}

/** One end of a connection whose frames meet faults as scripted, in both directions. */
export class FaultyConnection implements Connection {
  readonly peer: undefined = undefined;
  /** Hears of every frame before it meets its fault: its direction, its number there and its type. */
  onFrame: (direction: Script["direction"], frame: number, type: number) => void = () => {};
  readonly #inner: Connection;
  readonly #sent: Direction;
  readonly #received: Direction;
  readonly #arrived: Uint8Array[] = [];
  readonly #aborted: Promise<never>;
  #reject: (reason: Error) => void = () => {};
  #failure: Error | undefined;

  constructor(inner: Connection, script?: Script) {
    this.#inner = inner;
    const direction = (name: Script["direction"]): Direction =>
      new Direction(script?.direction === name ? script : undefined, (frame, type) => this.onFrame(name, frame, type));
    this.#sent = direction("sent");
    this.#received = direction("received");
    this.#aborted = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.#aborted.catch(() => {});
  }

  /** How many frames have gone by in a direction. */
  count(direction: Script["direction"]): number {
    return direction === "sent" ? this.#sent.count : this.#received.count;
  }

  async send(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const pieces = await this.#sent.pass(bytes);
    if (this.#sent.state === "cut") this.#cut();
    for (const piece of pieces) await this.#inner.send(piece);
    if (this.#sent.state === "ended") await this.#inner.close();
  }

  async receive(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const next = this.#arrived.shift();
      if (next !== undefined) return next;
      if (this.#received.state === "ended") return undefined;
      const bytes = await Promise.race([this.#aborted, this.#fromInner()]);
      if (bytes === undefined) return undefined;
      this.#arrived.push(...(await this.#received.pass(bytes)));
      if (this.#received.state === "cut") this.#cut();
    }
  }

  async close(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#sent.state !== "silent") await this.#inner.close();
  }

  abort(reason: Error): void {
    this.#failure ??= reason;
    this.#reject(reason);
    if (this.#sent.state !== "silent") this.#inner.abort(reason);
  }

  async #fromInner(): Promise<Uint8Array | undefined> {
    try {
      const bytes = await this.#inner.receive();
      if (bytes !== undefined || this.#received.state !== "silent") return bytes;
    } catch (error) {
      if (this.#received.state !== "silent") throw error;
    }
    return await this.#aborted;
  }

  #cut(): never {
    const lost = new TransportError("connection-lost", "The connection was cut by the test.");
    this.#inner.abort(lost);
    this.#failure ??= lost;
    throw lost;
  }
}

class Direction {
  state: "open" | "silent" | "cut" | "ended" = "open";
  count = 0;
  readonly #script: Script | undefined;
  readonly #onFrame: (frame: number, type: number) => void;
  #rest: Uint8Array = new Uint8Array(0);
  #held: Uint8Array | undefined;

  constructor(script: Script | undefined, onFrame: (frame: number, type: number) => void) {
    this.#script = script;
    this.#onFrame = onFrame;
  }

  /** What comes out where these bytes go in. */
  async pass(bytes: Uint8Array): Promise<Uint8Array[]> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const passed: Uint8Array[] = [];
    for (;;) {
      const header = new DataView(this.#rest.buffer, this.#rest.byteOffset, this.#rest.length);
      if (this.#rest.length < FRAME_HEADER_BYTES) return passed;
      const end = FRAME_HEADER_BYTES + header.getUint32(4, true);
      if (this.#rest.length < end) return passed;
      const frame = new Uint8Array(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
      const number = this.count++;
      this.#onFrame(number, frame[0] as number);
      if (this.state !== "open") continue;
      if (number === this.#script?.frame) {
        passed.push(...(await this.#meet(frame, this.#script)));
      } else {
        passed.push(frame);
        if (this.#held !== undefined) passed.push(this.#held);
        this.#held = undefined;
      }
    }
  }

  async #meet(frame: Uint8Array, { fault, delayMs = 20 }: Script): Promise<Uint8Array[]> {
    const half = frame.subarray(0, frame.length >>> 1);
    switch (fault) {
      case "cut":
        this.state = "cut";
        return [];
      case "delay":
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        return [frame];
      case "truncate":
        return [half];
      case "end":
        this.state = "ended";
        return [half];
      case "flip-header":
        return [flipped(frame, frame.length % FRAME_HEADER_BYTES)];
      case "flip-body":
        return [flipped(frame, frame.length - 1)];
      case "duplicate":
        return [frame, frame.slice()];
      case "swap":
        this.#held = frame;
        return [];
      case "silence":
        this.state = "silent";
        return [];
    }
  }
}

function flipped(frame: Uint8Array, at: number): Uint8Array {
  frame[at] = (frame[at] as number) ^ (1 << (at & 7));
  return frame;
}
