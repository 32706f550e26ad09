import { TransportError } from "../transport/errors.js";
import { RelayError } from "./errors.js";
import { type RelayLink, SESSION_CHANNEL } from "./link.js";
import type { QemuEnd } from "./qemu-end.js";

/** How long the other relay may take to greet. */
export const GREETING_MS = 10_000;

/** Each takes memory at both ends. A QEMU may have several. */
const MAX_STREAMS = 256;

/** Streams by their channels, and how a session of relays ends: the same at both ends. */
export class Streams<Stream extends { readonly end: QemuEnd }> {
  readonly #link: RelayLink;
  readonly #streams = new Map<number, Stream>();
  #running: Promise<void> = Promise.resolve();
  #isClosing = false;
  #hasEnded = false;

  constructor(link: RelayLink) {
    this.#link = link;
  }

  get(channel: number): Stream | undefined {
    return this.#streams.get(channel);
  }

  /** Whether there may be one more. */
  get isFull(): boolean {
    return this.#hasEnded || this.#isClosing || this.#streams.size >= MAX_STREAMS;
  }

  add(stream: Stream): void {
    this.#streams.set(stream.end.channel, stream);
  }

  delete(stream: Stream): void {
    if (this.#streams.get(stream.end.channel) === stream) this.#streams.delete(stream.end.channel);
  }

  /**
   * Reads frames until the session ends. Whatever ends it, no stream is left. Resolves after an orderly end, by either side; else throws why, and the
   * other relay is told.
   */
  run(read: () => Promise<"end" | undefined>): Promise<void> {
    this.#running = this.#run(read);
    return this.#running;
  }

  /** Breaks off what streams there are and ends the session in order. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const error = new RelayError("cancelled", "The relay was stopped.");
    for (const { end } of this.#streams.values()) end.fail(error);
    this.#link.send("end", SESSION_CHANNEL, {});
    await this.#link.close(this.#running);
  }

  async #run(read: () => Promise<"end" | undefined>): Promise<void> {
    try {
      while ((await read()) === undefined);
      this.#end(new RelayError("connection-lost", "The other relay has ended the session."));
      await this.#link.close(this.#link.drain());
    } catch (cause) {
      const error = asRelayError(cause);
      this.#end(error);
      if (this.#isClosing) return;
      await this.#link.sayGoodbye(error);
      throw error;
    }
  }

  #end(error: RelayError): void {
    this.#hasEnded = true;
    for (const { end } of this.#streams.values()) end.abandon(error);
    this.#streams.clear();
  }
}

/** What ended a session, as an error of the relay. */
export function asRelayError(cause: unknown): RelayError {
  if (cause instanceof RelayError) return cause;
  return new RelayError(cause instanceof TransportError ? "connection-lost" : "protocol", (cause as Error).message, {
    cause,
  });
}
