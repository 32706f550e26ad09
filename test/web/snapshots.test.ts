import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { chromiumPath } from "../support/chromium.js";
import { usePage } from "./page-suite.js";
import { WatchedPage } from "./watched-page.js";

/** Snapshots are compressed and checked, beside other tests. */
const PATIENCE = { timeout: 30_000 };

describe.skipIf(chromiumPath === undefined)("the page's snapshots (skipped where Chromium is missing)", () => {
  const suite = usePage();
  let tab: WatchedPage;

  beforeEach(async () => {
    tab = await WatchedPage.open(suite.context, suite.served.url);
    await tab.startLinux("Count");
    await tab.counts(3);
  });

  const rows = () => tab.page.locator("#snapshots li strong");
  const save = async (): Promise<void> => {
    const before = await rows().count();
    await tab.press("Save a snapshot");
    await expect.poll(() => rows().count(), PATIENCE).toBe(before + 1);
  };
  /** The bytes of the snapshots' files, the newest first. */
  const storedBytes = (): Promise<number[]> =>
    tab.page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("pageferry-snapshots");
      const files: File[] = [];
      for await (const handle of folder.values()) files.push(await (handle as FileSystemFileHandle).getFile());
      return files.sort((left, right) => right.lastModified - left.lastModified).map(({ size }) => size);
    });
  const runsOn = async (): Promise<void> => {
    await tab.machineOn("left");
    await tab.counts(3);
  };

  it("a second one costs only what changed, and a machine comes back from it as it was", async () => {
    const manifest = await tab.manifest();
    await save();
    await tab.counts(3);
    await save();
    const [second, first] = (await storedBytes()) as [number, number];
    expect(first).toBeGreaterThan(5e6);
    expect(second).toBeLessThan(first / 10);
    const counted = (await tab.countsSeen()).length;
    await tab.page
      .getByRole("button", { name: /^Restore/ })
      .first()
      .click();
    await tab.machineOn("right");
    await tab.counts(3);
    const counts = await tab.countsSeen();
    expect(counts).toEqual(counts.map((_, index) => index + 1));
    expect(counts.length).toBeGreaterThan(counted - 20);
    expect(await tab.manifest()).toBe(manifest);
    expect(tab.complaints).toEqual([]);
  });

  it("a file goes out and comes in, and a damaged one is refused", async () => {
    await save();
    const downloading = tab.page.waitForEvent("download");
    await tab.page
      .getByRole("button", { name: /^Download/ })
      .first()
      .click();
    const bytes = readFileSync(await (await downloading).path());
    await tab.page
      .getByRole("button", { name: /^Delete/ })
      .first()
      .click();
    await expect.poll(() => rows().count(), PATIENCE).toBe(0);
    const open = (buffer: Buffer): Promise<void> =>
      tab.page.getByLabel("File of a snapshot").setInputFiles({ name: "snapshot", mimeType: "", buffer });
    for (const damaged of [bytes.subarray(0, -1), Buffer.from("no snapshot"), flipped(bytes, bytes.length >> 1)]) {
      await open(damaged);
      expect(await tab.fault()).toContain("snapshot is damaged");
      await tab.page.evaluate(() => document.querySelector("#notices")?.replaceChildren());
    }
    expect(await rows().count()).toBe(0);
    await runsOn();
    await open(bytes);
    await expect.poll(() => rows().count(), PATIENCE).toBe(1);
    await tab.page
      .getByRole("button", { name: /^Restore/ })
      .first()
      .click();
    await tab.machineOn("right");
    await tab.counts(3);
  });

  it("one for which there is no room is not kept, and the machine runs on", async () => {
    const session = await suite.context.newCDPSession(tab.page);
    await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(suite.served.url).origin, quotaSize: 1e6 });
    await tab.press("Save a snapshot");
    expect(await tab.fault()).toMatch(/storage .*is full.* runs on/);
    expect(await rows().count()).toBe(0);
    await runsOn();
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] as number) ^ 1;
  return copy;
}
