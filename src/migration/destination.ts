import type { Connection } from "../transport/connection.js";
import { decodeMessage, FrameType } from "../wire/messages.js";
import { type Arrival, ArrivalSession, type DestinationOptions } from "./arrival.js";
import { ofDestination } from "./arrival-errors.js";
import type { SessionOutcome } from "./ask.js";
import { Channel, expectFrame, withTimeout } from "./channel.js";
import { MigrationError } from "./errors.js";
import { LostArrival } from "./lost.js";
import { destinationOptions } from "./options.js";

/** How long what a source has sent may still be on its way when it asks what became of the machine. */
const LAST_FRAMES_MS = 2000;
/** How many ended sessions are remembered, for sources that ask. */
const REMEMBERED_SESSIONS = 1024;

/** The place where machines arrive. It remembers what became of each, for a source that lost the answer to its handover. */
export class Destination {
  readonly #options: Required<DestinationOptions>;
  readonly #outcomes = new Map<string, SessionOutcome>();
  readonly #open = new Map<string, ArrivalSession>();
  /** Machines that run here whose memory is still to come; each resolves when it is here, or will never be. */
  readonly #followed = new Map<string, { readonly session: ArrivalSession; readonly ended: Promise<unknown> }>();

  /** Throws `argument`. */
  constructor(options: DestinationOptions) {
    this.#options = destinationOptions(options);
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
      const first = expectFrame(channel, this.#options.timeoutMs, FrameType.announce, FrameType.ask);
      const frame = await withTimeout(first, this.#options.timeoutMs, "The source asked for nothing");
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
      const arrival = await this.#take(session);
      // A source that does not hear of it would be in doubt: a link that is lost just now may come back.
      await channel.close(this.#options.timeoutMs);
      return arrival;
    } catch (cause) {
      const outcome = cause instanceof LostArrival ? "lost" : await session?.discard(ofDestination(cause));
      if (session !== undefined && outcome !== undefined) this.#remember(session.name, outcome);
      const error = session?.discarded ?? ofDestination(cause);
      // A source that hears of a failure lets its machine go on, where that has not run here.
      if (outcome !== "running" && outcome !== "unknown") await channel?.sayGoodbye(error);
      connection.abort(error);
      throw error;
    }
  }

  /** How many machines run here whose memory is still to come: they are lost where this process ends. */
  get following(): number {
    return this.#followed.size;
  }

  /** How many machines are on their way here, those that ask to be let in among them. */
  get arriving(): number {
    return this.#open.size;
  }

  /** Gives up all machines that run here whose memory is still to come: they are lost. */
  loseFollowed(): void {
    const reason = new MigrationError("cancelled", "The destination was told to give it up.");
    for (const { session } of this.#followed.values()) session.lose(reason);
  }

  /** Discards all machines that are on their way here. */
  async close(): Promise<void> {
    const error = new MigrationError("cancelled", "The destination was closed.");
    await Promise.all([...this.#open.values()].map((session) => session.interrupt(error)));
  }

  async #take(session: ArrivalSession): Promise<Arrival> {
    const { name } = session;
    const arriving = session.run((outcome) => {
      if (outcome === "following") this.#followed.set(name, { session, ended: arriving.catch(() => {}) });
      else this.#followed.delete(name);
      this.#remember(name, outcome);
    });
    try {
      return await arriving;
    } finally {
      this.#followed.delete(name);
    }
  }

  /** A source that asks has lost its connection: what it has not handed over by now is not handed over any more. */
  async #answer(channel: Channel, name: string): Promise<void> {
    const session = this.#open.get(name);
    if (session !== undefined) {
      const lost = new MigrationError("connection-lost", "The source lost the connection and asks over another one.");
      this.#remember(name, await session.interrupt(lost));
    }
    const followed = this.#followed.get(name);
    if (followed !== undefined) {
      // All may be here but for what was not read yet.
      const lost = new MigrationError("connection-lost", "The source gave the connection up.");
      await withTimeout(followed.ended, LAST_FRAMES_MS, "").catch(() => followed.session.lose(lost));
      await followed.ended;
    }
    await channel.send("outcome", { outcome: this.#outcomes.get(name) ?? "unknown" });
    await channel.close();
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
