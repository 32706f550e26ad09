import { PageError } from "../page/errors.js";
import type { Connection } from "../transport/connection.js";
import { TransportError } from "../transport/errors.js";
import { WireError } from "../wire/errors.js";
import { decodeMessage, FrameType } from "../wire/messages.js";
import { type Arrival, ArrivalSession, type DestinationOptions } from "./arrival.js";
import type { SessionOutcome } from "./ask.js";
import { Channel, expectFrame } from "./channel.js";
import { MigrationError } from "./errors.js";

const DEFAULT_STATE_LIMIT_BYTES = 64 << 20;
const DEFAULT_TIMEOUT_MS = 30_000;
/** How many ended sessions are remembered, for sources that ask. */
const REMEMBERED_SESSIONS = 1024;
/** The most time that telling a source what went wrong takes. */
const FAREWELL_MS = 1000;

/** The place where machines arrive. It remembers what became of each, for a source that lost the answer to its handover. */
export class Destination {
  readonly #options: Required<DestinationOptions>;
  readonly #outcomes = new Map<string, SessionOutcome>();
  readonly #open = new Map<string, ArrivalSession>();

  constructor(options: DestinationOptions) {
    this.#options = { stateLimitBytes: DEFAULT_STATE_LIMIT_BYTES, timeoutMs: DEFAULT_TIMEOUT_MS, ...options };
  }

  /**
   * Serves a connection to its end: takes the machine that comes over it, or answers a question, and then the result is undefined. Rejects with
   * a {@link MigrationError} where the machine did not arrive; whatever had been prepared is discarded then.
   */
  async receive(connection: Connection): Promise<Arrival | undefined> {
    let session: ArrivalSession | undefined;
    let channel: Channel | undefined;
    try {
      channel = await Channel.open(connection, this.#options.timeoutMs);
      const frame = await expectFrame(channel, this.#options.timeoutMs, FrameType.announce, FrameType.ask);
      if (frame.type === FrameType.ask) {
        await this.#answer(channel, decodeMessage("ask", frame.body).session);
        return undefined;
      }
      const announcement = decodeMessage("announce", frame.body);
      if (this.#open.has(announcement.session) || this.#outcomes.has(announcement.session)) {
        throw new MigrationError("refused", "This session has been here before.");
      }
      session = new ArrivalSession(channel, announcement, this.#options);
      this.#open.set(session.name, session);
      const arrival = await session.run(() => this.#remember(announcement.session, "running"));
      await connection.close().catch(() => {});
      return arrival;
    } catch (cause) {
      const error = session?.discarded ?? ofDestination(cause);
      if (session !== undefined) {
        await session.discard(error);
        this.#remember(session.name, "discarded");
      }
      await sayGoodbye(channel, error);
      connection.abort(error);
      throw error;
    }
  }

  /** Discards all machines that are on their way here. */
  async close(): Promise<void> {
    const error = new MigrationError("cancelled", "The destination was closed.");
    await Promise.all([...this.#open.values()].map((session) => session.interrupt(error)));
  }

  /** A source that asks has lost its connection: what it has not handed over by now is not handed over any more. */
  async #answer(channel: Channel, name: string): Promise<void> {
    const session = this.#open.get(name);
    if (session !== undefined) {
      const lost = new MigrationError("connection-lost", "The source lost the connection and asks over another one.");
      await session.interrupt(lost);
      if (session.discarded !== undefined) this.#remember(name, "discarded");
    }
    await channel.send("outcome", { outcome: this.#outcomes.get(name) ?? "unknown" });
    await channel.connection.close();
  }

  #remember(name: string, outcome: SessionOutcome): void {
    this.#open.delete(name);
    this.#outcomes.set(name, outcome);
    for (const oldest of this.#outcomes.keys()) {
      if (this.#outcomes.size <= REMEMBERED_SESSIONS) break;
      this.#outcomes.delete(oldest);
    }
  }
}

async function sayGoodbye(channel: Channel | undefined, { code, message }: MigrationError): Promise<void> {
  if (channel === undefined) return;
  const farewell = channel.send("fail", { code, message: message.slice(0, 4096) }).catch(() => {});
  const closed = farewell.then(() => channel.connection.close()).catch(() => {});
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, FAREWELL_MS))]);
}

function ofDestination(error: unknown): MigrationError {
  if (error instanceof MigrationError) return error;
  const isProtocol = error instanceof WireError || error instanceof PageError;
  const code = isProtocol ? "protocol" : error instanceof TransportError ? "connection-lost" : "host-failed";
  return new MigrationError(code, (error as Error).message, { cause: error });
}
