/** What is known at the end of a round. */
export interface RoundOutcome {
  readonly round: number;
  /** Pages that the round sent. */
  readonly pagesDirty: number;
  /** Bytes that it took to send them. */
  readonly transferredBytes: number;
  /** From the start of the round's scan to the confirmation of its last page. */
  readonly durationMs: number;
  /** How long the scan would take with the guest paused. */
  readonly scanMs: number;
}

/** What a migration may take. */
export interface ConvergenceLimits {
  readonly downtimeLimitMs: number;
  readonly maxRounds: number;
  readonly maxTimeMs: number;
  readonly onStall: "switch" | "fail";
}

/** What to do next, and why in words. */
export interface Decision {
  readonly action: "continue" | "switch" | "throttle" | "fail";
  readonly reason: string;
}

/** A remainder counts as smaller where it is so much smaller. */
const SHRINKS_BY = 0.95;
/** So many rounds without a smaller remainder are a stall. */
const STALL_ROUNDS = 3;
/** A full stop of the guest is not a throttle any more. */
const MAX_THROTTLE = 0.99;
const THROTTLE_STEP = 0.2;

/**
 * Decides at the end of each round of a pre-copy: go on, switch over, slow the guest down, or give up. What the guest has dirtied meanwhile is
 * estimated: as many pages a second as in the round before, each as large on the wire.
 */
export class Convergence {
  /** Pages that the guest dirtied a second in the last round; undefined before the second round. */
  dirtyPagesPerSecond: number | undefined;
  /** The estimate of the downtime if the switch came now; undefined before the second round. */
  expectedDowntimeMs: number | undefined;
  /** How much the guest is to be slowed down. */
  throttle = 0;
  readonly #limits: ConvergenceLimits;
  readonly #canThrottle: boolean;
  #lowestRemainderPages = Number.POSITIVE_INFINITY;
  #roundsWithoutProgress = 0;
  #isStalled = false;
  #previousMs = 0;

  constructor(limits: ConvergenceLimits, canThrottle: boolean) {
    this.#limits = limits;
    this.#canThrottle = canThrottle;
  }

  /** Whether the last round left less than any before it. */
  get isShrinking(): boolean {
    return this.#roundsWithoutProgress === 0;
  }

  /** `linkBytesPerSecond` and `roundTripMs` as measured, `elapsedMs` since the start of the first round. */
  decide(outcome: RoundOutcome, linkBytesPerSecond: number, roundTripMs: number, elapsedMs: number): Decision {
    const { downtimeLimitMs, maxRounds, maxTimeMs } = this.#limits;
    const previousMs = this.#previousMs;
    this.#previousMs = outcome.durationMs;
    const isAtLimit = outcome.round + 1 >= maxRounds || elapsedMs >= maxTimeMs;
    if (outcome.round === 0) {
      const reason = "the first round tells nothing of the dirty rate yet";
      return isAtLimit ? this.#atLimit(outcome, reason) : { action: "continue", reason };
    }
    // What this round found was dirtied in the time of the round before; what is dirty now, in the time of this one.
    const pagesPerMs = outcome.pagesDirty / Math.max(previousMs, 1);
    const remainderPages = pagesPerMs * outcome.durationMs;
    const bytesPerPage = outcome.pagesDirty === 0 ? 0 : outcome.transferredBytes / outcome.pagesDirty;
    const sendMs = linkBytesPerSecond === 0 ? 0 : ((remainderPages * bytesPerPage) / linkBytesPerSecond) * 1000;
    this.dirtyPagesPerSecond = pagesPerMs * 1000;
    this.expectedDowntimeMs = sendMs + outcome.scanMs + 2 * roundTripMs;

    if (this.expectedDowntimeMs <= downtimeLimitMs) {
      return { action: "switch", reason: `what remains fits into the downtime limit of ${downtimeLimitMs} ms` };
    }
    const isLowest = remainderPages <= this.#lowestRemainderPages;
    this.#roundsWithoutProgress =
      remainderPages < this.#lowestRemainderPages * SHRINKS_BY ? 0 : this.#roundsWithoutProgress + 1;
    this.#lowestRemainderPages = Math.min(this.#lowestRemainderPages, remainderPages);
    const expected = `about ${Math.ceil(this.expectedDowntimeMs)} ms of downtime where ${downtimeLimitMs} ms are allowed`;
    return isAtLimit ? this.#atLimit(outcome, expected) : this.#onProgress(isLowest, expected);
  }

  #onProgress(isLowest: boolean, expected: string): Decision {
    const { onStall } = this.#limits;
    if (this.#roundsWithoutProgress >= STALL_ROUNDS) this.#isStalled = true;
    if (!this.#isStalled) return { action: "continue", reason: `what remains is still shrinking (${expected})` };
    if (this.#canThrottle && this.throttle < MAX_THROTTLE) {
      this.#isStalled = false;
      this.#roundsWithoutProgress = 0;
      this.throttle = Math.min(MAX_THROTTLE, this.throttle + THROTTLE_STEP);
      return { action: "throttle", reason: `the rounds stopped shrinking (${expected})` };
    }
    if (onStall === "switch" && !isLowest) {
      return { action: "continue", reason: "the rounds stopped shrinking; waiting for the lowest remainder seen" };
    }
    const reason = `the rounds stopped shrinking: the guest dirties memory as fast as it can be sent (${expected})`;
    return { action: onStall === "switch" ? "switch" : "fail", reason };
  }

  #atLimit({ round }: RoundOutcome, expected: string): Decision {
    const reason = `the limit of rounds or time is reached after ${round + 1} rounds (${expected})`;
    return { action: this.#limits.onStall === "switch" ? "switch" : "fail", reason };
  }
}
