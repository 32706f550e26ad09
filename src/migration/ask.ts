import type { Connection } from "../transport/connection.js";
import { decodeMessage, FrameType } from "../wire/messages.js";
import { Channel, expectFrame, withTimeout } from "./channel.js";

/** What became of a session at the destination. `following`: the machine runs there, and its memory is still to come; `lost`: it will not come. */
export type SessionOutcome = "running" | "following" | "lost" | "discarded" | "unknown";

const BETWEEN_MS = 200;

/**
 * Asks a destination, over new connections, what became of a session, until it knows or the time is over: `unknown` then. No attempt may take
 * longer than `attemptMs`. A destination that is asked before the machine was handed over discards it.
 */
export async function askOutcome(
  session: string,
  reconnect: () => Promise<Connection>,
  timeoutMs: number,
  attemptMs: number,
): Promise<SessionOutcome> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const leftMs = endMs - performance.now();
    if (leftMs <= 0) return "unknown";
    const outcome = await askOnce(session, reconnect, Math.min(attemptMs, leftMs)).catch(() => "unknown" as const);
    if (outcome !== "unknown") return outcome;
    await new Promise((resolve) => setTimeout(resolve, Math.min(BETWEEN_MS, endMs - performance.now())));
  }
}

async function askOnce(
  session: string,
  reconnect: () => Promise<Connection>,
  timeoutMs: number,
): Promise<SessionOutcome> {
  const connecting = reconnect();
  const ask = async (): Promise<SessionOutcome> => {
    const channel = await Channel.open(await connecting, timeoutMs);
    await channel.send("ask", { session });
    const frame = await expectFrame(channel, timeoutMs, FrameType.outcome);
    await channel.close();
    return decodeMessage("outcome", frame.body).outcome;
  };
  try {
    return await withTimeout(ask(), timeoutMs, "The destination did not answer");
  } catch (error) {
    // Also a connection that comes too late.
    connecting.then((connection) => connection.abort(error as Error)).catch(() => {});
    throw error;
  }
}
