import { mkdirSync } from "node:fs";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PageClass } from "../../src/wire/batch.js";
import { chromiumPath } from "../support/chromium.js";
import { projectFolder } from "../support/docs.js";
import { usePage } from "./page-suite.js";
import { WatchedPage } from "./watched-page.js";

/** Pictures of the page are kept here, for people to look at. */
const PICTURES = `${projectFolder}build/pictures`;
const SHIFT_LIMIT = 0.1;

describe.skipIf(chromiumPath === undefined)("the page, in Chromium (skipped where it is not installed)", () => {
  const suite = usePage({ viewport: { width: 1280, height: 900 } });
  let tab: WatchedPage;

  beforeAll(() => {
    mkdirSync(PICTURES, { recursive: true });
  });
  beforeEach(async () => {
    tab = await WatchedPage.open(suite.context, suite.served.url);
  });

  const picture = async (name: string): Promise<void> => {
    await tab.page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: true });
  };

  it("moves a Linux to the other side and back, and nothing is lost", async () => {
    await picture("before");
    await tab.startLinux("Count");
    await tab.counts(3);
    const manifest = await tab.manifest();
    await tab.press(/^Move it/);
    await tab.page.waitForFunction(() => watch.news.filter(({ word }) => word.news === "pages").length > 20);
    await picture("during");
    await tab.machineOn("right");
    const report = await tab.report();
    await tab.counts(3);
    await picture("after");

    const shown = await tab.page.locator("#right .xterm-rows").innerText();
    const counts = await tab.countsSeen();
    expect(shown).toContain(`PF count ${counts.at(-4)}`);
    expect(counts).toEqual(counts.map((_, index) => index + 1));
    expect(await tab.manifest()).toBe(manifest);
    expect(report).toMatchObject({ outcome: "completed", verification: { verified: true } });

    const { classes, rounds, transferredBytes } = await tab.takeMoveNews(report.ramBytes / report.pageBytes);
    const reported = (name: "zero" | "fill" | "dup" | "delta"): number =>
      report.rounds.reduce((sum, { pagesByClass }) => sum + pagesByClass[name], 0);
    expect(rounds).toBe(report.dirtySyncCount);
    expect(transferredBytes).toBeLessThanOrEqual(report.transferredBytes);
    expect(transferredBytes).toBeGreaterThan(0.95 * report.transferredBytes);
    // The state's pages are not told of on the map; they are few, and hardly any of them a delta.
    expect(classes[PageClass.delta] ?? 0).toBe(reported("delta"));
    for (const name of ["zero", "fill", "dup"] as const) {
      expect(reported(name) - (classes[PageClass[name]] ?? 0), name).toBeGreaterThanOrEqual(0);
      expect(reported(name) - (classes[PageClass[name]] ?? 0), name).toBeLessThan(1000);
    }

    await tab.choose("Link", "As fast as it goes");
    const back = await tab.move("left");
    expect(back.outcome).toBe("completed");
    await tab.counts(3);
    const all = await tab.countsSeen();
    expect(all).toEqual(all.map((_, index) => index + 1));
    expect(await tab.manifest()).toBe(manifest);

    const origin = new URL(suite.served.url).origin;
    expect(tab.requests.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith(`blob:${origin}/`))).toEqual(
      [],
    );
    expect(tab.complaints).toEqual([]);
    expect(await tab.page.evaluate(() => watch.shift)).toBeLessThan(SHIFT_LIMIT);
  });

  it.each(["Cut the link", "Cancel"])("%s in the middle leaves the machine running where it was", async (button) => {
    await tab.startLinux("Count");
    await tab.choose("Link", "10 Mbit/s");
    await tab.press(/^Move it/);
    await tab.page.waitForFunction(() => watch.news.some(({ word }) => word.news === "pages"));
    await tab.press(button);
    const fault = await tab.fault();
    expect(fault).toContain(button === "Cancel" ? "The move was cancelled." : "The link was cut.");
    expect(fault).toContain("goes on where it was");
    await tab.machineOn("left");
    await tab.counts(3);
    await picture(button === "Cancel" ? "cancelled" : "cut");
    await tab.choose("Link", "As fast as it goes");
    expect((await tab.move("right")).outcome).toBe("completed");
    await tab.counts(3);
    const counts = await tab.countsSeen();
    expect(counts).toEqual(counts.map((_, index) => index + 1));
  });

  it.each([
    { theme: "light", width: 1280 },
    { theme: "dark", width: 390 },
  ] as const)("axe finds nothing serious: $theme, $width px wide", async ({ theme, width }) => {
    await tab.page.emulateMedia({ colorScheme: theme });
    await tab.page.setViewportSize({ width, height: 844 });
    expect(await tab.seriousFindings()).toEqual([]);
    await tab.startLinux("Count");
    await tab.choose("Link", "10 Mbit/s");
    await tab.press(/^Move it/);
    await tab.page.waitForFunction(() => watch.news.some(({ word }) => word.news === "pages"));
    expect(await tab.seriousFindings()).toEqual([]);
    await picture(`during-${theme}-${width}`);
    await tab.press("Cancel");
    await tab.fault();
    await tab.choose("Link", "As fast as it goes");
    await tab.move("right");
    expect(await tab.seriousFindings()).toEqual([]);
    await picture(`after-${theme}-${width}`);
    expect(await tab.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  });
});
