import { describe, expect, it } from "vitest";
import { Destination } from "../../src/migration/destination.js";
import { destinationOptions, type MigrateOptions, migrateOptions } from "../../src/migration/options.js";

const refusal = expect.objectContaining({ name: "MigrationError", code: "argument" });
const NOT_NUMBERS: readonly unknown[] = [Number.NaN, "300", null, {}, -1];
const TOO_LONG_FOR_TIMERS = 2 ** 31;

const BAD: { readonly [Name in keyof MigrateOptions]?: readonly unknown[] } = {
  strategy: ["post-copy", "", 1, null],
  compression: ["gzip", true],
  onStall: ["wait", null],
  downtimeLimitMs: [...NOT_NUMBERS, 0],
  maxRounds: [...NOT_NUMBERS, 0],
  maxTimeMs: [...NOT_NUMBERS, 0],
  cacheBytes: [...NOT_NUMBERS, 0.5, Number.POSITIVE_INFINITY],
  stateMaxBytes: [...NOT_NUMBERS, 0, 0.5, Number.POSITIVE_INFINITY],
  timeoutMs: [...NOT_NUMBERS, 0, Number.POSITIVE_INFINITY, TOO_LONG_FOR_TIMERS],
  inDoubtTimeoutMs: [...NOT_NUMBERS, 0, Number.POSITIVE_INFINITY, TOO_LONG_FOR_TIMERS],
};

describe("options of a migration", () => {
  for (const [name, values] of Object.entries(BAD)) {
    it(`refuses a bad ${name}, and says which`, () => {
      for (const value of values) {
        const given = { [name]: value } as Partial<MigrateOptions>;
        expect(() => migrateOptions(given), String(value)).toThrow(refusal);
        expect(() => migrateOptions(given)).toThrow(new RegExp(`^${name} must be `));
      }
    });
  }

  it("fills in defaults, also for what is given as undefined, and keeps what is given", () => {
    const defaults = migrateOptions({});
    expect(defaults).toMatchObject({ strategy: "precopy", compression: "auto", downtimeLimitMs: 300, onStall: "fail" });
    const undefinedOptions = { downtimeLimitMs: undefined } as unknown as Partial<MigrateOptions>;
    expect(migrateOptions(undefinedOptions)).toEqual(defaults);
    const given = { maxRounds: Number.POSITIVE_INFINITY, cacheBytes: 0, timeoutMs: 0x7fffffff };
    expect(migrateOptions(given)).toEqual({ ...defaults, ...given });
  });
});

describe("options of a destination", () => {
  const good = {
    host: () => Promise.reject(new Error("not asked")),
    authorise: () => true as const,
    memoryLimitBytes: 1,
  };

  it("refuses bad limits: without one, everything would be let in", () => {
    for (const name of ["memoryLimitBytes", "stateLimitBytes"]) {
      for (const value of [...NOT_NUMBERS, 0.5, Number.POSITIVE_INFINITY]) {
        expect(() => new Destination({ ...good, [name]: value }), `${name} ${String(value)}`).toThrow(refusal);
      }
    }
    const unlimited = { ...good, memoryLimitBytes: undefined } as unknown as typeof good;
    expect(() => new Destination(unlimited)).toThrow(refusal);
    for (const timeoutMs of [0, TOO_LONG_FOR_TIMERS, Number.NaN]) {
      expect(() => new Destination({ ...good, timeoutMs })).toThrow(refusal);
    }
  });

  it("fills in defaults, also for what is given as undefined", () => {
    const given = { ...good, stateLimitBytes: undefined } as unknown as typeof good;
    expect(destinationOptions(given)).toMatchObject({ stateLimitBytes: 64 << 20, timeoutMs: 30_000 });
  });
});
