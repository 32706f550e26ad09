import type { Connection, Peer } from "../../src/transport/connection.js";
import { TransportError } from "../../src/transport/errors.js";
import { connectionPair } from "../../src/transport/pair.js";

/** How a link is cut. */
export const CUTS = [
  /** Both ends hear of it; what is on the way may be lost. */
  "reset",
  /** What was sent arrives, and then an end in order, as the kernel gives it for a process that died. */
  "end",
  /** Nothing arrives any more, and nobody hears of it. */
  "silence",
] as const;
export type Cut = (typeof CUTS)[number];

/** Two connected ends that are cut after so many bytes, both directions together, or when a test says so. */
export class TestLink {
  readonly here: Connection;
  readonly there: Connection;
  /** Bytes that were passed on. */
  bytes = 0;
  readonly #ends: readonly [LinkEnd, LinkEnd];
  readonly #budgetBytes: number;
  readonly #budgetCut: Cut;
  #cut: Cut | undefined;

  constructor(
    budgetBytes: number = Number.POSITIVE_INFINITY,
    budgetCut: Cut = "reset",
    peers: (Peer | undefined)[] = [],
  ) {
    const [here, there] = connectionPair();
    this.#budgetBytes = budgetBytes;
    this.#budgetCut = budgetCut;
    this.#ends = [new LinkEnd(here, this, peers[0]), new LinkEnd(there, this, peers[1])];
    [this.here, this.there] = this.#ends;
  }

  get isCut(): boolean {
    return this.#cut !== undefined;
  }

  get isSilent(): boolean {
    return this.#cut === "silence";
  }

  cut(how: Cut): void {
    this.#cut = how;
    for (const end of this.#ends) end.cut(how);
  }

  /** The bytes that still get through; the cut comes behind them. */
  allow(bytes: Uint8Array): Uint8Array {
    if (this.isCut) return bytes.subarray(0, 0);
    const passed = bytes.subarray(0, this.#budgetBytes - this.bytes);
    this.bytes += passed.length;
    return passed;
  }

  /** To be called when the bytes are on their way. */
  settle(): void {
    if (!this.isCut && this.bytes >= this.#budgetBytes) this.cut(this.#budgetCut);
  }
}

class LinkEnd implements Connection {
  readonly peer: Peer | undefined;
  readonly #inner: Connection;
  readonly #link: TestLink;
  readonly #aborted: Promise<never>;
  #abort: (reason: Error) => void = () => {};

  constructor(inner: Connection, link: TestLink, peer: Peer | undefined) {
    this.peer = peer;
    this.#inner = inner;
    this.#link = link;
    this.#aborted = new Promise((_, reject) => {
      this.#abort = reject;
    });
    this.#aborted.catch(() => {});
  }

  async send(bytes: Uint8Array): Promise<void> {
    const passed = this.#link.allow(bytes);
    const sending = passed.length < bytes.length && this.#link.isCut ? Promise.resolve() : this.#inner.send(passed);
    this.#link.settle();
    await Promise.race([this.#aborted, sending]);
  }

  async receive(): Promise<Uint8Array | undefined> {
    const receiving = this.#inner.receive();
    receiving.catch(() => {});
    return await Promise.race([this.#aborted, receiving]);
  }

  async close(): Promise<void> {
    if (!this.#link.isCut) await this.#inner.close();
  }

  abort(reason: Error): void {
    this.#abort(reason);
    if (!this.#link.isSilent) this.#inner.abort(reason);
  }

  cut(how: Cut): void {
    if (how === "reset") this.#inner.abort(new TransportError("connection-lost", "The link was cut by the test."));
    if (how === "end") this.#inner.close().catch(() => {});
  }
}
