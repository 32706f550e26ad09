import type { Verdict } from "../wire/resume.js";
import type { Connection } from "./connection.js";
import { TransportError } from "./errors.js";
import type { ResumableAcceptor } from "./resumable-acceptor.js";
import { exchangeOpening } from "./resumable-opening.js";
import { type ResumableOptions, resumableOptions } from "./resumable-options.js";
import { drawToken, ResumableSession } from "./resumable-session.js";

/** Options of {@link resumableConnect}. */
export interface ResumableConnectOptions extends ResumableOptions {
  /** Where the other side, if it can connect to this one, resumes the connection too. */
  readonly acceptor?: ResumableAcceptor;
}

/**
 * A connection to a {@link ResumableAcceptor} that outlives the inner connections that `dial` makes: where one is lost, the next one goes on
 * where it ended, and who sends and receives notices only a pause. What was sent is neither lost nor doubled.
 *
 * Rejects with what the first `dial` rejects with, or `connect-failed` where no acceptor answers. Later failures are only noted: everything
 * rejects with `connection-lost` when there was no working inner connection for `giveUpMs`, with `session-unknown` where the other side was restarted
 * meanwhile, and with `not-authenticated` where it does not take this side for who opened the connection.
 */
export async function resumableConnect(
  dial: () => Promise<Connection>,
  options: ResumableConnectOptions = {},
): Promise<Connection> {
  const { acceptor } = options;
  const checked = resumableOptions(options);
  const inner = await dial();
  const token = drawToken();
  const session = new ResumableSession(
    { isOpener: true, token, peer: inner.peer, dial, onEnd: () => acceptor?.release(token) },
    checked,
  );
  const { value: answer, rest } = await exchangeOpening(inner, session.nextOpening(true));
  if (answer.verdict !== "accepted" || answer.received !== 0) {
    const error = turnedAway(answer.verdict);
    inner.abort(error);
    throw error;
  }
  acceptor?.adopt(session, token);
  session.attach(inner, rest, answer);
  return session;
}

function turnedAway(verdict: Verdict): TransportError {
  const why = verdict === "full" ? "it has too many connections already; try again later" : `it answered: ${verdict}`;
  return new TransportError("connect-failed", `The other side takes no connection from here: ${why}.`);
}
