import type { Compression } from "../page/compression/compressor.js";
import { DEFAULT_CACHE_BYTES } from "../page/create.js";
import type { Connection } from "../transport/connection.js";
import { MigrationError } from "./errors.js";

/** In which order memory travels and the machine changes sides. */
export type Strategy = "precopy" | "stop-and-copy";

/** Options of {@link migrate}. */
export interface MigrateOptions {
  /** Default `precopy`: rounds while the machine runs, until the rest is small. `stop-and-copy`: the machine stands still all the while. */
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
  signal: undefined,
  reconnect: undefined,
  inDoubtTimeoutMs: 30_000,
});

const CHOICES = {
  strategy: ["precopy", "stop-and-copy"],
  compression: ["none", "lz4", "zstd", "auto"],
  onStall: ["switch", "fail"],
} as const;
const POSITIVE = [
  "downtimeLimitMs",
  "maxRounds",
  "maxTimeMs",
  "stateMaxBytes",
  "timeoutMs",
  "inDoubtTimeoutMs",
] as const;

/** The options with defaults filled in. Throws `argument`. */
export function migrateOptions(given: Partial<MigrateOptions>): MigrateOptions {
  const options = { ...DEFAULTS, ...withoutUndefined(given) };
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = options[name as keyof typeof CHOICES];
    if (!(choices as readonly string[]).includes(value)) {
      throw new MigrationError("argument", `${name} must be one of ${choices.join(", ")}, not ${value}.`);
    }
  }
  for (const name of POSITIVE) {
    if (!(options[name] > 0))
      throw new MigrationError("argument", `${name} must be more than 0, not ${options[name]}.`);
  }
  return options;
}

function withoutUndefined<T extends object>(given: T): T {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
}
