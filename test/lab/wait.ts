import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 5;

/**
 * Runs `work` with a signal that is aborted after `timeoutMs`, or as soon as `ended` is. `what` completes the sentence "… did not …": it is
 * what the failure says.
 */
export async function within<Result>(
  what: string,
  timeoutMs: number,
  ended: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const limit = new AbortController();
  const stop = (): void => limit.abort(ended.reason);
  const timer = setTimeout(() => limit.abort(new Error(`${what} within ${timeoutMs} ms.`)), timeoutMs);
  ended.addEventListener("abort", stop);
  if (ended.aborted) stop();
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
    ended.removeEventListener("abort", stop);
  }
}

/** Asks again and again until the answer is not undefined. Rejects with the signal's reason where that is aborted before. */
export async function poll<Answer>(ask: () => Promise<Answer | undefined>, signal: AbortSignal): Promise<Answer> {
  for (;;) {
    signal.throwIfAborted();
    const answer = await ask();
    if (answer !== undefined) return answer;
    await delay(POLL_MS);
  }
}
