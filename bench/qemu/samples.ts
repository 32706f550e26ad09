/**
 * What a guest had done when it was asked. Its count is of some moment between question and answer, and a guest that waits for pages answers late. All
 * times are in milliseconds.
 */
export interface Sample {
  readonly operations: number;
  readonly askedMs: number;
  readonly answeredMs: number;
}

/** Which share of its rate a guest must reach to count as recovered, and over how long. */
const RECOVERED_SHARE = 0.9;
const WINDOW_MS = 1000;

/** Operations a second from one answer to another: right where both took as long. */
export function rateBetween(first: Sample, last: Sample): number {
  return ((last.operations - first.operations) / (last.answeredMs - first.answeredMs)) * 1000;
}

/** What a guest would have said at a later moment, had it gone on at a rate. */
export function extrapolate({ operations, answeredMs }: Sample, ratePerSecond: number, atMs: number): Sample {
  return { operations: operations + (ratePerSecond * (atMs - answeredMs)) / 1000, askedMs: atMs, answeredMs: atMs };
}

/**
 * When the first second began in which a guest did 90 % of what it did in a usual second of those before. Undefined where none did. A second is
 * a window from a question to an answer, so that it is never less that the guest did; that takes as much from the seconds before.
 */
export function recoveredAtMs(before: readonly Sample[], after: readonly Sample[]): number | undefined {
  const usual = percentile(
    before.flatMap((sample) => windowRate(before, sample) ?? []),
    0.5,
  );
  return after.find((sample) => (windowRate(after, sample) ?? 0) >= RECOVERED_SHARE * usual)?.askedMs;
}

/** The smallest of the values that at least this share of them, from 0 to 1, does not exceed. NaN where there are none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** What a guest did, at least, in the second that begins with a sample; undefined where the samples end before that does. */
function windowRate(samples: readonly Sample[], first: Sample): number | undefined {
  const last = samples.find(({ answeredMs }) => answeredMs - first.askedMs >= WINDOW_MS);
  return last && ((last.operations - first.operations) / (last.answeredMs - first.askedMs)) * 1000;
}
