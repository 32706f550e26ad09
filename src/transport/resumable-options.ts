import { SILENCE_MIN_MS } from "../wire/resume.js";
import { checkNumber } from "./check.js";
import type { Connection } from "./connection.js";

/** `ended`: closed by both sides, or given up. */
export type ResumableState = "connected" | "reconnecting" | "ended";

/** What both sides of a resumable connection can choose. */
export interface ResumableOptions {
  /** After so many ms without a working inner connection it is given up; infinite: never. A function is asked when the link is lost. Default: 30,000. */
  readonly giveUpMs?: number | (() => number);
  /** `send` waits while the other side has not received more than this, which is kept to be sent again. Default: 8 MiB. */
  readonly replayBytes?: number;
  /** An inner connection over which nothing came for so many ms is given up for another one; at least 100. Default: 10,000. */
  readonly silenceMs?: number;
  /** Hears when the link is lost and when it is back, of which connection, and why where there is a reason. */
  readonly onStateChange?: (state: ResumableState, reason: Error | undefined, connection: Connection) => void;
}

const DEFAULTS = Object.freeze({
  giveUpMs: 30_000,
  replayBytes: 8 << 20,
  silenceMs: 10_000,
  onStateChange: (): void => {},
});
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The options with defaults filled in. Throws `argument`. */
export function resumableOptions(given: ResumableOptions): Required<ResumableOptions> {
  const { giveUpMs, replayBytes, silenceMs, onStateChange } = given;
  const options = {
    giveUpMs: giveUpMs ?? DEFAULTS.giveUpMs,
    replayBytes: replayBytes ?? DEFAULTS.replayBytes,
    silenceMs: silenceMs ?? DEFAULTS.silenceMs,
    onStateChange: onStateChange ?? DEFAULTS.onStateChange,
  };
  if (typeof options.giveUpMs === "number" && options.giveUpMs !== Number.POSITIVE_INFINITY) {
    checkNumber("giveUpMs", options.giveUpMs, 1, MAX_TIMER_MS);
  }
  checkNumber("replayBytes", options.replayBytes, 0, Number.MAX_SAFE_INTEGER);
  checkNumber("silenceMs", options.silenceMs, SILENCE_MIN_MS, MAX_TIMER_MS);
  return options;
}
