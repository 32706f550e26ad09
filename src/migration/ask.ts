import type { Connection } from "../transport/connection.js";
import { decodeMessage, FrameType } from "../wire/messages.js";
import { Channel, expectFrame } from "./channel.js";

/** What became of a session at the destination. */
export type SessionOutcome = "running" | "discarded" | "unknown";

const BETWEEN_MS = 200;

/**
 * Asks a destination, over new connections, what became of a session, until it knows or the time is over: `unknown` then. A destination that is
 * asked before the machine was handed over discards it.
 */
export async function askOutcome(
  session: string,
  reconnect: () => Promise<Connection>,
  timeoutMs: number,
): Promise<SessionOutcome> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const leftMs = endMs - performance.now();
    if (leftMs <= 0) return "unknown";
    const outcome = await askOnce(session, reconnect, leftMs).catch(() => "unknown" as const);
    if (outcome !== "unknown") return outcome;
    await new Promise((resolve) => setTimeout(resolve, Math.min(BETWEEN_MS, leftMs)));
  }
}

async function askOnce(
  session: string,
  reconnect: () => Promise<Connection>,
  timeoutMs: number,
): Promise<SessionOutcome> {
  const connection = await reconnect();
  try {
    const channel = await Channel.open(connection, timeoutMs);
    await channel.send("ask", { session });
    const frame = await expectFrame(channel, timeoutMs, FrameType.outcome);
    return decodeMessage("outcome", frame.body).outcome;
  } finally {
    connection.abort(new Error("The question has been answered."));
  }
}
