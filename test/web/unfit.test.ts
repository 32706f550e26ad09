import type { Page } from "playwright";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Guest } from "../../src/guest/guest.js";
import { MemoryGuest } from "../../src/guest/memory/guest.js";
import { memoryStorage } from "../../src/guest/snapshot/memory-storage.js";
import { SnapshotStore } from "../../src/guest/snapshot/store.js";
import { installedVersion } from "../../src/guest/v86/node.js";
import { chromiumPath } from "../support/chromium.js";
import { usePage } from "./page-suite.js";
import { WatchedPage } from "./watched-page.js";

describe.skipIf(chromiumPath === undefined)("what does not fit the page (skipped where Chromium is missing)", () => {
  const suite = usePage();
  let version: string;
  let tab: WatchedPage;

  beforeAll(async () => {
    version = await installedVersion();
  });
  beforeEach(async () => {
    tab = await WatchedPage.open(suite.context, suite.served.url);
    await tab.startLinux("Count");
    await tab.counts(3);
  });

  const runsOn = async (): Promise<void> => {
    await tab.machineOn("left");
    await tab.counts(3);
    const counts = await tab.countsSeen();
    expect(counts).toEqual(counts.map((_, index) => index + 1));
  };

  it("a tab with another version of the emulator does not take the machine, and both tabs say why", async () => {
    // What the browser loads from now on knows another version.
    await suite.context.route(/\/index-.*\.js$/, async (route) => {
      const script = await (await route.fetch()).text();
      await route.fulfill({
        contentType: "text/javascript",
        body: script.replaceAll(version, "0.0.1"),
      });
    });
    await tab.choose("Where to", "Another tab");
    await tab.press("Move it to another tab");
    const opened = suite.context.waitForEvent("page");
    await tab.press("Open the tab");
    const there: Page = await opened;
    const why = `version "${version}" of v86, and here is 0.0.1`;
    const fault = await tab.fault();
    expect(fault).toContain(why);
    expect(fault).toContain("goes on where it was");
    const notices = there.locator("#notices");
    await expect.poll(() => notices.textContent(), { timeout: 30_000 }).toContain(why);
    expect(await notices.textContent()).not.toContain("The other side");
    await runsOn();
  });

  it.each([
    { what: "another version of the emulator", other: "0.0.1", memoryBytes: 4 << 20, says: /version "0\.0\.1" of v86/ },
    {
      what: "a size that it cannot have",
      other: undefined,
      memoryBytes: (4 << 20) + 4096,
      says: /its memory has 4198400 bytes/,
    },
  ])("a snapshot of a machine with $what is kept, but not restored", async ({ other, memoryBytes, says }) => {
    const bytes = await snapshotOf(memoryBytes, other ?? version);
    const file = { name: "snapshot.patch", mimeType: "", buffer: Buffer.from(bytes) };
    await tab.page.getByLabel("File of a snapshot").setInputFiles(file);
    const restore = tab.page.getByRole("button", { name: /^Restore/ });
    await restore.click();
    const fault = await tab.fault();
    expect(fault).toContain("The machine does not fit here");
    expect(fault).toMatch(says);
    expect(fault).toContain("The machine here runs on as before.");
    await tab.page.waitForSelector("#right[data-state=empty]");
    await runsOn();
  });
});

/** The file of a snapshot of a machine that says of itself that v86 runs it. */
async function snapshotOf(memoryBytes: number, version: string): Promise<Uint8Array> {
  const inner = new MemoryGuest({ memoryBytes, pagesPerSecond: 0 });
  const guest: Guest = {
    machine: { ...inner.machine, kind: "v86", configuration: { version, vgaMemoryBytes: 2 << 20, hasConsole: true } },
    readPages: (firstPage, into) => inner.readPages(firstPage, into),
    pause: () => inner.pause(),
    resume: () => inner.resume(),
    saveState: () => inner.saveState(),
    release: () => inner.release(),
  };
  const store = await SnapshotStore.open(memoryStorage());
  const { id } = await store.save(guest);
  await guest.release();
  return await store.export(id);
}
