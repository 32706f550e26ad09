import {
  ANSWER_BYTES,
  type Answer,
  decodeAnswer,
  decodeOpening,
  encodeOpening,
  OPENING_BYTES,
  type Opening,
} from "../wire/resume.js";
import type { Connection } from "./connection.js";
import { TransportError } from "./errors.js";

/** Who has not opened, or answered, after so many ms is given up; an answer must not be away for longer than a side bears silence. */
const OPENING_MS = 10_000;

/** An opening or an answer, and what came behind it. */
export interface Greeting<Value> {
  readonly value: Value;
  readonly rest: Uint8Array;
}

/** Sends an opening and waits for the answer. Breaks the connection where there is none: throws `connect-failed`, or the signal's reason. */
export async function exchangeOpening(
  inner: Connection,
  opening: Opening,
  signal?: AbortSignal,
): Promise<Greeting<Answer>> {
  const stop = (): void => inner.abort(signal?.reason);
  signal?.addEventListener("abort", stop);
  try {
    signal?.throwIfAborted();
    await inner.send(encodeOpening(opening));
    return await readGreeting(inner, ANSWER_BYTES, decodeAnswer, Math.min(OPENING_MS, opening.silenceMs));
  } catch (cause) {
    const message = `What was reached there did not answer as a resumable pageferry connection: ${(cause as Error).message}`;
    const error = signal?.aborted ? signal.reason : new TransportError("connect-failed", message, { cause });
    inner.abort(error);
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Waits for the other side's opening. Breaks the connection where it does not come; throws why. */
export async function readOpening(inner: Connection): Promise<Greeting<Opening>> {
  try {
    return await readGreeting(inner, OPENING_BYTES, decodeOpening, OPENING_MS);
  } catch (error) {
    inner.abort(error as Error);
    throw error;
  }
}

async function readGreeting<Value>(
  inner: Connection,
  length: number,
  decode: (bytes: Uint8Array) => Value,
  mostMs: number,
): Promise<Greeting<Value>> {
  const timer = setTimeout(() => {
    inner.abort(new TransportError("connection-lost", `It took longer than ${mostMs} ms.`));
  }, mostMs);
  try {
    const bytes = new Uint8Array(length);
    for (let at = 0; ; ) {
      const chunk = await inner.receive();
      if (chunk === undefined) throw new TransportError("connection-lost", "It ended the connection.");
      const part = chunk.subarray(0, length - at);
      bytes.set(part, at);
      at += part.length;
      if (at === length) return { value: decode(bytes), rest: chunk.subarray(part.length) };
    }
  } finally {
    clearTimeout(timer);
  }
}
