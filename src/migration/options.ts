import type { Compression } from "../page/compression/compressor.js";
import { DEFAULT_CACHE_BYTES } from "../page/create.js";
import type { Connection } from "../transport/connection.js";
import type { DestinationOptions } from "./arrival.js";
import { MigrationError } from "./errors.js";

/**
 * In which order memory travels and the machine changes sides. `precopy`: rounds while it runs, until the rest is small. `stop-and-copy`: it stands still
 * all the while. `postcopy`: it changes sides first, and its memory follows. `hybrid`: rounds as long as they shrink, and what is left then follows.
 * `auto`: pre-copy where it will come to an end within the limits, else hybrid. The last three want a host that can serve memory lazily.
 */
export type Strategy = "precopy" | "stop-and-copy" | "postcopy" | "hybrid" | "auto";

/** Options of {@link migrate}. */
export interface MigrateOptions {
  /** Default `precopy`. */
  readonly strategy: Strategy;
  /** Default `auto`: what finishes soonest on the measured link. */
  readonly compression: Compression;
  /** How long the machine may stand still; pre-copy switches over when it expects to stay below. Default 300. */
  readonly downtimeLimitMs: number;
  /** The most rounds of a pre-copy. Default 50. */
  readonly maxRounds: number;
  /** The most time for the rounds of a pre-copy. Default one hour. */
  readonly maxTimeMs: number;
  /**
   * What to do when rounds stop shrinking and the guest cannot be slowed down, or at the limit of rounds or time: `fail` (default), and the machine goes on
   * here, or `switch`, and the downtime limit is exceeded.
   */
  readonly onStall: "switch" | "fail";
  /** The most memory for pages as they were sent last, which deltas are made against. Default 512 MiB, less for a smaller guest. */
  readonly cacheBytes: number;
  /** The most bytes of CPU and device state. Default 64 MiB. */
  readonly stateMaxBytes: number;
  /** The most time to wait for a silent destination. Default 30 s. */
  readonly timeoutMs: number;
  /**
   * The same once the machine runs there and its memory follows. When it is over the machine is lost, so the default is to wait for ever. A connection that is
   * lost for good is not waited for.
   */
  readonly lostAfterMs: number;
  /**
   * Hears of all pages as they are encoded, by their numbers and classes (`PageClass`), and in which round; the arrays hold until it returns. Numbers
   * behind the memory's are of the state.
   */
  readonly onPages: ((pages: Uint32Array, classes: Uint8Array, round: number) => void) | undefined;
  /** Cancels the migration as long as the machine has not been handed over. */
  readonly signal: AbortSignal | undefined;
  /** Opens another connection to the destination, to ask what became of the machine when the handover's answer was lost. */
  readonly reconnect: (() => Promise<Connection>) | undefined;
  /** How long to ask before the migration ends `in-doubt`. Default 30 s. */
  readonly inDoubtTimeoutMs: number;
}

const DEFAULTS: MigrateOptions = Object.freeze({
  strategy: "precopy",
  compression: "auto",
  downtimeLimitMs: 300,
  maxRounds: 50,
  maxTimeMs: 3_600_000,
  onStall: "fail",
  cacheBytes: DEFAULT_CACHE_BYTES,
  stateMaxBytes: 64 << 20,
  timeoutMs: 30_000,
  lostAfterMs: Number.POSITIVE_INFINITY,
  onPages: undefined,
  signal: undefined,
  reconnect: undefined,
  inDoubtTimeoutMs: 30_000,
});

const CHOICES = {
  strategy: ["precopy", "stop-and-copy", "postcopy", "hybrid", "auto"],
  compression: ["none", "lz4", "zstd", "auto"],
  onStall: ["switch", "fail"],
} as const;
const DESTINATION_DEFAULTS = Object.freeze({
  stateLimitBytes: 64 << 20,
  timeoutMs: 30_000,
  lostAfterMs: Number.POSITIVE_INFINITY,
  onRunning: () => {},
});

/** Timers of every runtime count to here; a longer time would be over at once. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;
const UNLIMITED = Number.POSITIVE_INFINITY;

interface Range {
  readonly minimum: number;
  readonly maximum: number;
  readonly isWhole: boolean;
}
const TIMER: Range = { minimum: 1, maximum: MAX_TIMER_MS, isWhole: false };
const BYTES: Range = { minimum: 0, maximum: Number.MAX_SAFE_INTEGER, isWhole: true };
const RANGES: Readonly<Record<string, Range>> = {
  downtimeLimitMs: { minimum: Number.MIN_VALUE, maximum: UNLIMITED, isWhole: false },
  maxRounds: { minimum: 1, maximum: UNLIMITED, isWhole: false },
  maxTimeMs: { minimum: Number.MIN_VALUE, maximum: UNLIMITED, isWhole: false },
  cacheBytes: BYTES,
  stateMaxBytes: { ...BYTES, minimum: 1 },
  timeoutMs: TIMER,
  lostAfterMs: { minimum: 1, maximum: UNLIMITED, isWhole: false },
  inDoubtTimeoutMs: TIMER,
  memoryLimitBytes: BYTES,
  stateLimitBytes: BYTES,
};

/** The options with defaults filled in. Throws `argument`. */
export function migrateOptions(given: Partial<MigrateOptions>): MigrateOptions {
  const options = { ...DEFAULTS, ...withoutUndefined(given) };
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = options[name as keyof typeof CHOICES];
    if (!(choices as readonly string[]).includes(value)) {
      throw new MigrationError("argument", `${name} must be one of ${choices.join(", ")}, not ${value}.`);
    }
  }
  checkRanges(options);
  return options;
}

/** A destination's options with defaults filled in. Throws `argument`. */
export function destinationOptions(given: DestinationOptions): Required<DestinationOptions> {
  const options = { ...DESTINATION_DEFAULTS, ...withoutUndefined(given) };
  // By name, for it has no default, and without it everything would be let in.
  checkRanges({ ...options, memoryLimitBytes: given.memoryLimitBytes });
  return options;
}

function checkRanges(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    const range = RANGES[name];
    if (range === undefined) continue;
    const { minimum, maximum, isWhole } = range;
    const isNumber = typeof value === "number" && (!isWhole || Number.isInteger(value));
    if (isNumber && value >= minimum && value <= maximum) continue;
    const kind = isWhole ? "a whole number" : "a number";
    const from = minimum === Number.MIN_VALUE ? "above 0" : `of at least ${minimum}`;
    const to = maximum === UNLIMITED ? "" : ` and at most ${maximum}`;
    throw new MigrationError("argument", `${name} must be ${kind} ${from}${to}, not ${String(value)}.`);
  }
}

function withoutUndefined<T extends object>(given: T): T {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
}
