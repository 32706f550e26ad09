import { FrameType, PROBE_MAX_BYTES } from "../wire/messages.js";
import type { Channel } from "./channel.js";
import type { Inbox } from "./inbox.js";

/** A burst that took so long tells the rate. */
const LEAST_MS = 10;
const MOST_PROBES = 8;

/** A link as it was measured before anything was sent over it. */
export interface MeasuredLink {
  readonly bytesPerSecond: number;
  readonly roundTripMs: number;
}

/** Measures a link with bytes that mean nothing: at first none, then twice as many each time until it takes a while. */
export async function probeLink(channel: Channel, inbox: Inbox): Promise<MeasuredLink> {
  const probe = crypto.getRandomValues(new Uint8Array(PROBE_MAX_BYTES));
  const burst = async (count: number, body: Uint8Array): Promise<number> => {
    const startMs = performance.now();
    const sending = Array.from({ length: count }, () => channel.sendBytes(FrameType.probe, body));
    await inbox.guard(Promise.all(sending).then(() => {}));
    for (let answer = 0; answer < count; answer++) await inbox.expect(FrameType.probed);
    return performance.now() - startMs;
  };
  const roundTripMs = await burst(1, probe.subarray(0, 0));
  for (let count = 1; ; count *= 2) {
    const tookMs = Math.max((await burst(count, probe)) - roundTripMs, 0.001);
    if (tookMs < LEAST_MS && count < MOST_PROBES) continue;
    return { bytesPerSecond: ((count * probe.length) / tookMs) * 1000, roundTripMs };
  }
}
