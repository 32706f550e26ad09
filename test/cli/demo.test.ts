import { describe, expect, it } from "vitest";
import type { MigrationReport } from "../../src/migration/report.js";
import { runCommand } from "../support/command.js";
import { findProgram } from "../support/require.js";

interface DemoResult {
  readonly report: MigrationReport;
  readonly continuity: { readonly lastOnSource: number; readonly firstOnDestination: number };
  readonly contentVerified: boolean;
}

const MINUTES = 60_000;
const apt = findProgram("apt-get");

async function demo(...parameters: string[]): Promise<DemoResult> {
  const { status, stderr, json } = await runCommand("demo", "--json", ...parameters);
  expect([stderr, status]).toEqual(["", 0]);
  return json() as unknown as DemoResult;
}

function expectWhole({ report, continuity, contentVerified }: DemoResult): void {
  expect(contentVerified).toBe(true);
  expect(continuity.firstOnDestination).toBe(continuity.lastOnSource + 1);
  expect(report).toMatchObject({ outcome: "completed", verification: { verified: true } });
  const bytes = report.rounds.reduce((sum, round) => sum + round.transferredBytes, 0);
  expect(bytes).toBeLessThanOrEqual(report.transferredBytes);
  for (const { pagesDirty, pagesByClass, rawBytes } of report.rounds.slice(0, -1)) {
    expect(Object.values(pagesByClass).reduce((sum, pages) => sum + pages)).toBe(pagesDirty);
    expect(rawBytes).toBe(pagesDirty * report.pageBytes);
  }
}

describe("pageferry demo", () => {
  it("moves the memory guest", async () => {
    expectWhole(await demo("--guest", "memory"));
  });

  it.skipIf(apt === undefined)("moves a running Linux (needs apt)", { timeout: 5 * MINUTES }, async () => {
    const result = await demo("--compression", "lz4");
    expectWhole(result);
    const [first] = result.report.rounds;
    expect(result.report.transferredBytes).toBeLessThan((first?.rawBytes ?? 0) / 2);
  });
});
