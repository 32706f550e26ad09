import { describe, expect, it } from "vitest";
import type { RoundReport } from "../../src/migration/report.js";
import { PageClass } from "../../src/wire/batch.js";
import { move, Owners, type Result } from "../support/one-owner.js";

const MEMORY_PAGES = 256;
/** Long enough that no timeout plays a part. */
const PATIENT = { timeoutMs: 20_000 };

/** The pages that one call told of. */
interface Told {
  readonly round: number;
  readonly pages: number[];
  readonly classes: number[];
}

const noteIn =
  (told: Told[]) =>
  (pages: Uint32Array, classes: Uint8Array, round: number): void => {
    told.push({ round, pages: Array.from(pages), classes: Array.from(classes) });
  };

const inRound = (told: readonly Told[], round: number): Told[] => told.filter((each) => each.round === round);
const pagesOf = (told: readonly Told[]): number[] => told.flatMap(({ pages }) => pages);

/** What was told of a round, as its report counts it. */
function counted(told: readonly Told[]): RoundReport["pagesByClass"] {
  const classes = told.flatMap((each) => each.classes);
  const count = (...wanted: number[]): number => classes.filter((pageClass) => wanted.includes(pageClass)).length;
  return {
    zero: count(PageClass.zero),
    fill: count(PageClass.fill),
    dup: count(PageClass.dup),
    delta: count(PageClass.delta),
    novel: count(PageClass.novel, PageClass.passing),
    unchanged: count(PageClass.same),
  };
}

function expectAsReported(told: readonly Told[], { report, arrival }: Result): void {
  expect(report.outcome).toBe("completed");
  expect(told.map(({ round }) => round)).toEqual(told.map(({ round }) => round).sort((left, right) => left - right));
  for (const { round, pagesByClass, pagesDirty } of report.rounds) {
    const here = inRound(told, round);
    expect(counted(here), `round ${round}`).toEqual(pagesByClass);
    expect(pagesOf(here).filter((page) => page < MEMORY_PAGES)).toHaveLength(pagesDirty);
  }
  const unchanged = report.rounds.reduce((sum, { pagesByClass }) => sum + pagesByClass.unchanged, 0);
  expect(pagesOf(told).length - unchanged).toBe(arrival?.pages);
}

describe("pages that a migration tells of", () => {
  it("are what differs from an empty machine first, then what was written since, and the state behind the memory", async () => {
    const owners = new Owners({ pagesPerSecond: 0 });
    const { guest } = owners;
    const { content, pause } = guest;
    const used = Array.from({ length: MEMORY_PAGES }, (_, page) => page).filter((page) =>
      content.bytes.subarray(page * 4096, (page + 1) * 4096).some((byte) => byte !== 0),
    );
    const written = new Set<number>();
    content.onWrite = (page) => written.add(page);
    guest.pause = async () => {
      content.advance(20);
      await pause.call(guest);
    };
    const told: Told[] = [];
    const result = await move({ owners, options: { ...PATIENT, onPages: noteIn(told) }, destinationOptions: PATIENT });
    owners.expectOne(result);
    owners.stop();
    expectAsReported(told, result);
    const last = result.report.rounds.length - 1;
    expect(used.length).toBeGreaterThan(100);
    expect(pagesOf(inRound(told, 0))).toEqual(used);
    expect(written.size).toBeGreaterThan(5);
    expect(pagesOf(inRound(told, last))).toEqual([...[...written].sort((left, right) => left - right), MEMORY_PAGES]);
    expect(pagesOf(told)).toHaveLength(used.length + written.size + 1);
  });

  it("are of round 0 where there is only that", async () => {
    const owners = new Owners();
    const told: Told[] = [];
    const options = { ...PATIENT, strategy: "stop-and-copy" as const, onPages: noteIn(told) };
    const result = await move({ owners, options, destinationOptions: PATIENT });
    owners.expectOne(result);
    owners.stop();
    expectAsReported(told, result);
    expect(result.report.rounds).toHaveLength(1);
    expect(pagesOf(told).at(-1)).toBe(MEMORY_PAGES);
  });

  it("are those of the report, round by round, of a machine that goes on writing", async () => {
    const owners = new Owners();
    const told: Told[] = [];
    const options = { ...PATIENT, downtimeLimitMs: 0.001, onStall: "switch" as const, onPages: noteIn(told) };
    const result = await move({ owners, options, destinationOptions: PATIENT });
    owners.expectOne(result);
    owners.stop();
    expectAsReported(told, result);
    expect(result.report.rounds.length).toBeGreaterThan(2);
  });
});
