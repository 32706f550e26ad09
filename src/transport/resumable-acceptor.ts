import { hex } from "../wire/hex.js";
import { encodeAnswer, type Opening, type Verdict } from "../wire/resume.js";
import { checkNumber } from "./check.js";
import type { Connection, Peer } from "./connection.js";
import { TransportError } from "./errors.js";
import { takeLeave } from "./resumable-link.js";
import { readOpening } from "./resumable-opening.js";
import { type ResumableOptions, resumableOptions } from "./resumable-options.js";
import { ResumableSession } from "./resumable-session.js";

/** Options of a {@link ResumableAcceptor}. */
export interface ResumableAcceptorOptions extends ResumableOptions {
  /** The most connections at a time, lost ones that may be resumed with them. Default: 256. */
  readonly maxSessions?: number;
  /** Connects to the other side of a lost connection, where that listens too: so either side can reconnect. */
  readonly dial?: (peer: Peer | undefined) => Promise<Connection>;
}

/** So many connections may be between their beginning and their opening; then the oldest gives way. */
const MAX_OPENING = 64;

/** Where resumable connections arrive: hand it what a listener gives. */
export class ResumableAcceptor {
  readonly #options: Required<ResumableOptions>;
  readonly #dial: ResumableAcceptorOptions["dial"];
  readonly #maxSessions: number;
  readonly #onConnection: (connection: Connection) => void;
  /** By their tokens in hex. */
  readonly #sessions = new Map<string, ResumableSession>();
  /** In the order in which they came. */
  readonly #opening = new Set<Connection>();
  #isClosed = false;

  /** `onConnection` is given each new connection; those that resume one are its business no more. Throws `argument`. */
  constructor(options: ResumableAcceptorOptions, onConnection: (connection: Connection) => void) {
    this.#options = resumableOptions(options);
    this.#dial = options.dial;
    this.#maxSessions = options.maxSessions ?? 256;
    checkNumber("maxSessions", this.#maxSessions, 1, Number.MAX_SAFE_INTEGER);
    this.#onConnection = onConnection;
  }

  /** Takes a connection, which is the acceptor's from now on: it becomes a new one's first link, another one's next, or is turned away. */
  accept(inner: Connection): void {
    if (this.#isClosed) {
      inner.abort(closedError());
      return;
    }
    for (const oldest of this.#opening) {
      if (this.#opening.size < MAX_OPENING) break;
      this.#opening.delete(oldest);
      oldest.abort(new TransportError("connection-lost", "Too many others came before it opened a session."));
    }
    this.#opening.add(inner);
    readOpening(inner).then(
      ({ value, rest }) => {
        if (this.#opening.delete(inner)) this.#answer(inner, value, rest);
      },
      () => this.#opening.delete(inner),
    );
  }

  /** Takes no more connections. Those that there are stay, as long as their links last. */
  close(): void {
    this.#isClosed = true;
    for (const inner of this.#opening) inner.abort(closedError());
    this.#opening.clear();
    for (const session of [...this.#sessions.values()]) session.strand();
  }

  /** Lets the other side resume a session that this side has opened; until its end. */
  adopt(session: ResumableSession, token: Uint8Array): void {
    this.#sessions.set(hex(token), session);
  }

  /** Forgets a session. */
  release(token: Uint8Array): void {
    this.#sessions.delete(hex(token));
  }

  #answer(inner: Connection, opening: Opening, rest: Uint8Array): void {
    const session = this.#sessions.get(hex(opening.token));
    const verdict = opening.isNew ? this.#verdictOnNew(session) : verdictOnResuming(session, inner, opening);
    if (verdict !== "accepted") {
      const attempt = verdict === "stale" ? (session?.newestAttempt ?? 0) : 0;
      takeLeave(inner, drain(inner), this.#encode(verdict, attempt, 0));
      return;
    }
    const accepted = session ?? this.#begin(inner, opening.token);
    // The link behind it notices where this does not arrive.
    inner.send(this.#encode("accepted", opening.attempt, accepted.received)).catch(() => {});
    accepted.attach(inner, rest, opening);
    if (session === undefined) this.#onConnection(accepted);
  }

  #verdictOnNew(session: ResumableSession | undefined): Verdict {
    if (session !== undefined) return "refused";
    return this.#sessions.size < this.#maxSessions ? "accepted" : "full";
  }

  #begin({ peer }: Connection, token: Uint8Array): ResumableSession {
    const dial = this.#dial;
    const session = new ResumableSession(
      {
        isOpener: false,
        token,
        peer,
        dial: dial === undefined ? undefined : async () => await dial(peer),
        onEnd: () => this.release(token),
      },
      this.#options,
    );
    this.adopt(session, token);
    return session;
  }

  #encode(verdict: Verdict, attempt: number, received: number): Uint8Array {
    return encodeAnswer({ verdict, attempt, silenceMs: this.#options.silenceMs, received });
  }
}

function verdictOnResuming(
  session: ResumableSession | undefined,
  inner: Connection,
  { attempt, received }: Opening,
): Verdict {
  if (session === undefined) return "unknown";
  if (session.peer?.fingerprint !== inner.peer?.fingerprint) return "refused";
  if (attempt <= session.newestAttempt) return "stale";
  return session.canResumeAt(received) ? "accepted" : "refused";
}

/** Reads a connection to its end. */
async function drain(inner: Connection): Promise<void> {
  while ((await inner.receive()) !== undefined);
}

function closedError(): TransportError {
  return new TransportError("connection-lost", "This side takes no more connections.");
}
