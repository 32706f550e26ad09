import type { Answer } from "../wire/resume.js";
import type { Connection } from "./connection.js";
import { TransportError } from "./errors.js";
import { exchangeOpening } from "./resumable-opening.js";
import type { ResumableSession } from "./resumable-session.js";
import { sleep } from "./sleep.js";

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2000;

/** Tries to get a session a new link, until it has one or the signal is aborted; never throws. */
export async function redial(
  session: ResumableSession,
  dial: () => Promise<Connection>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const waitMs = backOffMs(session.countAttempt());
      if (waitMs > 0) await sleep(waitMs, signal);
      return await resume(session, dial, signal);
    } catch (error) {
      if (!signal.aborted) session.attemptFailed(error as Error);
    }
  }
}

async function resume(session: ResumableSession, dial: () => Promise<Connection>, signal: AbortSignal): Promise<void> {
  const inner = await dial();
  checkPeer(session, inner);
  const { value: answer, rest } = await exchangeOpening(inner, session.nextOpening(false), signal);
  if (answer.verdict === "accepted" && session.canResumeAt(answer.received)) return session.attach(inner, rest, answer);
  const error = new TransportError(
    "connect-failed",
    `The other side did not resume the connection (${answer.verdict}).`,
  );
  inner.abort(error);
  follow(session, answer, error);
}

/** The token is for nobody else. */
function checkPeer(session: ResumableSession, inner: Connection): void {
  if (inner.peer?.fingerprint === session.peer?.fingerprint) return;
  const message = `Another host answers now: ${inner.peer?.name ?? "one that proves nothing"}, with another certificate.`;
  const error = new TransportError("not-authenticated", message);
  inner.abort(error);
  throw error;
}

function follow(session: ResumableSession, { verdict, attempt }: Answer, error: TransportError): void {
  if (verdict === "unknown") {
    session.forgotten();
  } else if (verdict === "refused") {
    session.refused();
  } else {
    session.overtaken(attempt);
    throw error;
  }
}

/** At once, then 50 ms and twice as long each time; up to half of it less, so that many do not come at the same moment. */
function backOffMs(attempts: number): number {
  if (attempts === 0) return 0;
  const mostMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempts - 1));
  return mostMs * (1 - Math.random() / 2);
}
