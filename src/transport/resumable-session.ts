import { encodeControl, type Opening, type ResumePart, ResumeType, TOKEN_BYTES } from "../wire/resume.js";
import { checkBytes, closedError } from "./check.js";
import type { Connection, Peer } from "./connection.js";
import { TransportError } from "./errors.js";
import { Incoming, wrong } from "./resumable-incoming.js";
import { Link, type LinkOwner } from "./resumable-link.js";
import type { ResumableOptions, ResumableState } from "./resumable-options.js";
import { Outgoing } from "./resumable-outgoing.js";
import { redial } from "./resumable-redial.js";

/** What is received waits so long for more, or for something to send, before it is acknowledged. */
const ACKNOWLEDGE_AFTER_MS = 1;

/** What is different between the two sides of a session. */
export interface SessionSide {
  /** Whether this side opened the session. */
  readonly isOpener: boolean;
  readonly token: Uint8Array;
  readonly peer: Peer | undefined;
  /** Where this side can connect by itself. */
  readonly dial: (() => Promise<Connection>) | undefined;
  /** Called once, when no link will be needed any more. */
  readonly onEnd: () => void;
}

/** The other side's half of an opening. */
export interface PeerOpening {
  readonly attempt: number;
  readonly silenceMs: number;
  readonly received: number;
}

/** One side of a resumable connection, over one link after the other. */
export class ResumableSession implements Connection, LinkOwner {
  readonly #side: SessionSide;
  readonly #options: Required<ResumableOptions>;
  readonly #outgoing: Outgoing;
  readonly #incoming: Incoming;
  #link: Link | undefined;
  /** Whether something has come over the link; where not, it is no better than none. */
  #isConnected = true;
  #newestAttempt = 0;
  #closing: Promise<void> | undefined;
  #isDoneSent = false;
  #isOver = false;
  #isStranded = false;
  #failure: Error | undefined;
  #isAborted = false;
  /** How long this side waits for another link, now that it is lost. */
  #patienceMs = 0;
  #whyLost: Error | undefined;
  #acknowledging: ReturnType<typeof setTimeout> | undefined;
  #givingUp: ReturnType<typeof setTimeout> | undefined;
  #redialing: AbortController | undefined;
  /** At reconnecting, since something came over a link. */
  #attempts = 0;

  constructor(side: SessionSide, options: Required<ResumableOptions>) {
    this.#side = side;
    this.#options = options;
    this.#outgoing = new Outgoing(options.replayBytes);
    this.#incoming = new Incoming(() => this.#link?.wake());
  }

  get peer(): Peer | undefined {
    return this.#side.peer;
  }

  get received(): number {
    return this.#incoming.received;
  }

  get newestAttempt(): number {
    return this.#newestAttempt;
  }

  async send(bytes: Uint8Array): Promise<void> {
    checkBytes(bytes);
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw closedError();
    this.#outgoing.push(bytes);
    this.#link?.wake();
    await this.#outgoing.drained();
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#isAborted ? Promise.reject(this.#failure) : this.#incoming.take();
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#failure === undefined ? this.#outgoing.end() : Promise.reject(this.#failure);
      this.#link?.wake();
    }
    return this.#closing;
  }

  abort(reason: Error): void {
    if (this.#isOver) return;
    this.#isAborted = true;
    this.#link?.leave(encodeControl(ResumeType.abort));
    this.#fail(reason);
  }

  /** The opening of a new link, with the next attempt's number. */
  nextOpening(isNew: boolean): Opening {
    const isOdd = this.#side.isOpener;
    this.#newestAttempt += this.#newestAttempt % 2 === (isOdd ? 1 : 0) ? 2 : 1;
    const { token } = this.#side;
    return { isNew, attempt: this.#newestAttempt, silenceMs: this.#options.silenceMs, received: this.received, token };
  }

  /** The other side knows of a newer attempt. */
  overtaken(attempt: number): void {
    this.#newestAttempt = Math.max(this.#newestAttempt, attempt);
  }

  /** Whether the other side can have received so much, and not more. */
  canResumeAt(received: number): boolean {
    return this.#outgoing.canHaveReceived(received);
  }

  /** Goes on over this inner connection, whose opening is over. Any other link is dropped. */
  attach(inner: Connection, rest: Uint8Array, { attempt, silenceMs, received }: PeerOpening): void {
    this.#redialing?.abort(overtakenError());
    this.#redialing = undefined;
    this.#link?.drop(overtakenError());
    this.#newestAttempt = attempt;
    this.#outgoing.rewind(received);
    this.#isDoneSent = false;
    // Tells the other side at once that the link works, and how much it may send.
    this.#incoming.askForAck();
    this.#link = new Link(inner, rest, this, { ownMs: this.#options.silenceMs, peerMs: silenceMs });
    this.#link.wake();
  }

  /** How many attempts at reconnecting there were before the one that begins. */
  countAttempt(): number {
    return this.#attempts++;
  }

  /** An attempt at reconnecting did not work; this is told if none does. */
  attemptFailed(reason: Error): void {
    this.#whyLost = reason;
  }

  /** The other side has no such session. Where both had everything, that is because it has forgotten it. */
  forgotten(): void {
    const message =
      "The other side does not know this connection any more: it was restarted or has given the connection up. What was under way is lost; start anew.";
    this.#endWith(new TransportError("session-unknown", message));
  }

  /** The other side refuses this one. */
  refused(): void {
    const message =
      "The other side refuses to go on with this connection: to it, this side is not the one that opened it.";
    this.#endWith(new TransportError("not-authenticated", message));
  }

  /** The other side cannot reach this one any more: where this one cannot reach the other either, the next loss is the last. */
  strand(): void {
    this.#isStranded = this.#side.dial === undefined;
    if (this.#isStranded && this.#link === undefined) this.#giveUp();
  }

  nextFrame(): Uint8Array | undefined {
    if (this.#incoming.isAckDue) return this.#incoming.ack();
    const frame = this.#outgoing.next();
    if (frame !== undefined || !this.#isComplete || this.#isDoneSent) return frame;
    this.#isDoneSent = true;
    return encodeControl(ResumeType.done);
  }

  takePart({ type, size, number, data }: ResumePart): void {
    if (type === ResumeType.data) this.#incoming.push(number, data);
    else if (type === ResumeType.end) this.#incoming.end(number);
    else if (type === ResumeType.ack) this.#takeAck(number, size);
    else if (type === ResumeType.done) this.#takeDone();
    else if (type === ResumeType.abort) this.#takeAbort();
    if (this.#isOver) return;
    if (!this.#isConnected) this.#linkWorks();
    if (this.#incoming.isAckDue || this.#isComplete) this.#link?.wake();
    else if (this.#incoming.isBehind)
      this.#acknowledging ??= setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_AFTER_MS);
  }

  drained(): Promise<void> {
    return this.#incoming.drained();
  }

  linkLost(reason: Error): void {
    this.#link = undefined;
    this.#whyLost = reason;
    if (this.#isStranded) {
      this.#giveUp();
      return;
    }
    const wasConnected = this.#isConnected;
    this.#isConnected = false;
    if (wasConnected) this.#bear();
    if (this.#side.dial !== undefined) {
      this.#redialing = new AbortController();
      redial(this, this.#side.dial, this.#redialing.signal);
    }
    if (wasConnected && !this.#isComplete) this.#report("reconnecting", reason);
  }

  /** Whether both sides have received everything; the other one may not know yet. */
  get #isComplete(): boolean {
    return this.#outgoing.isThrough && this.#incoming.isEnded;
  }

  #takeAck(received: number, window: number): void {
    if (!this.#outgoing.canHaveReceived(received)) throw wrong(`says that it received ${received}, which cannot be`);
    this.#outgoing.acknowledge(received, window);
    this.#link?.wake();
  }

  #takeDone(): void {
    if (!this.#isComplete) throw wrong("says that all is done, which is not so");
    this.#finish();
  }

  #takeAbort(): void {
    const reason = new TransportError("connection-lost", "The other side has broken the connection off.");
    this.#link?.drop(reason);
    this.#fail(reason);
  }

  #acknowledge(): void {
    this.#acknowledging = undefined;
    if (!this.#incoming.isBehind) return;
    this.#incoming.askForAck();
    this.#link?.wake();
  }

  #linkWorks(): void {
    this.#isConnected = true;
    this.#attempts = 0;
    clearTimeout(this.#givingUp);
    if (!this.#isComplete) this.#report("connected");
  }

  /** Waits for another link, as long as this side is patient. */
  #bear(): void {
    const { giveUpMs } = this.#options;
    this.#patienceMs = typeof giveUpMs === "number" ? giveUpMs : giveUpMs();
    if (this.#patienceMs === Number.POSITIVE_INFINITY) return;
    this.#givingUp = setTimeout(() => this.#giveUp(), this.#patienceMs);
  }

  #giveUp(): void {
    const cause = this.#whyLost;
    const within = this.#isStranded ? "cannot be resumed" : `could not be resumed within ${this.#patienceMs} ms`;
    const message = `The connection to the other side was lost and ${within}. ${cause?.message ?? ""}`.trimEnd();
    this.#link?.drop(new TransportError("connection-lost", message));
    this.#endWith(new TransportError("connection-lost", message, { cause }));
  }

  /** This side cannot go on, for that reason; where both sides have everything, that is no failure. */
  #endWith(failure: Error): void {
    if (this.#isComplete) this.#finish();
    else this.#fail(failure);
  }

  /** Both sides have everything, and know it. */
  #finish(): void {
    this.#link?.leave(this.#isDoneSent ? undefined : encodeControl(ResumeType.done));
    this.#end();
    this.#report("ended");
  }

  #fail(reason: Error): void {
    this.#failure = reason;
    this.#incoming.fail(reason);
    this.#outgoing.fail(reason);
    this.#end();
    this.#report("ended", reason);
  }

  #end(): void {
    this.#isOver = true;
    this.#link = undefined;
    this.#redialing?.abort(overtakenError());
    clearTimeout(this.#givingUp);
    clearTimeout(this.#acknowledging);
    this.#side.onEnd();
  }

  #report(state: ResumableState, reason?: Error): void {
    this.#options.onStateChange(state, reason, this);
  }
}

/** A token that nobody can guess. */
export function drawToken(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(TOKEN_BYTES));
}

function overtakenError(): TransportError {
  return new TransportError("connection-lost", "Another link has taken over.");
}
