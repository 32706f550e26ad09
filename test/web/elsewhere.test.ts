import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { chromiumPath, launchChromium } from "../support/chromium.js";
import { canMakeNamespace, NetworkNamespace } from "../support/network-namespace.js";
import { usePage } from "./page-suite.js";
import { ruleFor } from "./served-page.js";
import { WatchedPage } from "./watched-page.js";

describe.skipIf(chromiumPath === undefined)("the page with other tabs (skipped where Chromium is missing)", () => {
  const suite = usePage();
  let here: WatchedPage;

  beforeEach(async () => {
    here = await WatchedPage.open(suite.context, suite.served.url);
  });

  /** Lets the page open the tab that its machine shall go to. */
  async function openTab(): Promise<WatchedPage> {
    await here.choose("Where to", "Another tab");
    await here.press("Move it to another tab");
    const opened = suite.context.waitForEvent("page");
    await here.press("Open the tab");
    return WatchedPage.adopt(await opened);
  }

  it("a Linux moves to another tab and back", async () => {
    await here.startLinux("Count");
    await here.counts(3);
    const manifest = await here.manifest();
    await here.choose("Link", "As fast as it goes");
    const there = await openTab();
    await there.machineOn("right");
    await there.counts(3);
    expect((await here.report()).outcome).toBe("completed");
    expect(await there.manifest()).toBe(manifest);
    await there.choose("Link", "As fast as it goes");
    await there.press("Move it to another tab");
    await here.machineOn("left");
    await here.counts(3);
    const counts = await here.countsSeen();
    expect(counts).toEqual(counts.map((_, index) => index + 1));
    expect(await here.manifest()).toBe(manifest);
  });

  it("a tab that is closed in the middle leaves the machine running here", async () => {
    await here.startLinux("Count");
    await here.choose("Link", "10 Mbit/s");
    const there = await openTab();
    await here.page.waitForFunction(() => watch.news.some(({ word }) => word.news === "pages"));
    await there.page.close();
    expect(await here.fault()).toContain("goes on where it was");
    await here.machineOn("left");
    await here.counts(3);
  });
});

describe.skipIf(chromiumPath === undefined || !canMakeNamespace)(
  "the page on two computers (skipped where Chromium is missing, or the right to make a network namespace)",
  () => {
    let namespace: NetworkNamespace;
    // Hooks of the end run last first: the browser goes before its network.
    beforeAll(() => {
      namespace = new NetworkNamespace();
    });
    afterAll(() => namespace?.close());
    const suite = usePage({}, () => launchChromium({ executablePath: namespace.wrapper(chromiumPath as string) }));
    let here: WatchedPage;
    let there: WatchedPage;

    beforeEach(async () => {
      // The pages come from here and not over the network of the namespace, which leads nowhere.
      const open = async (): Promise<WatchedPage> => {
        const context = await suite.browser.newContext();
        await context.route("**/*", ruleFor(suite.served));
        return await WatchedPage.open(context, "http://localhost:8086/");
      };
      [here, there] = await Promise.all([open(), open()]);
    });
    afterEach(async () => {
      for (const tab of [here, there]) await tab?.page.context().close();
    });

    const codeIn = async (tab: WatchedPage, label: string): Promise<string> => {
      const field = tab.page.getByLabel(label);
      await expect.poll(() => field.inputValue(), { timeout: 30_000 }).not.toBe("");
      return await field.inputValue();
    };
    const offer = async (): Promise<string> => {
      await here.choose("Where to", "Another computer");
      await here.press("Move it to another computer");
      return await codeIn(here, "Code for the other computer");
    };
    const answerTo = async (code: string): Promise<void> => {
      await there.page.locator("#right").getByRole("button", { name: "Wait for a machine from elsewhere" }).click();
      await there.page.getByLabel("Code of the other computer").fill(code);
      await there.press("Make the answer");
    };
    const faultInDialog = async (tab: WatchedPage): Promise<string> => {
      const fault = tab.page.locator("dialog [role=alert]");
      await expect.poll(() => fault.textContent(), { timeout: 30_000 }).not.toBe("");
      return (await fault.textContent()) as string;
    };

    it("a Linux moves by two pasted codes, over WebRTC", async () => {
      await here.startLinux("Count");
      await here.counts(3);
      const manifest = await here.manifest();
      await here.choose("Link", "As fast as it goes");
      await answerTo(await offer());
      const answer = await codeIn(there, "Answer for the other computer");
      await here.page.getByLabel("Answer of the other computer").fill(answer);
      await here.press("Connect and move");
      await there.machineOn("right");
      await there.counts(3);
      const report = await here.report();
      expect(report).toMatchObject({ outcome: "completed", verification: { verified: true } });
      const counts = await there.countsSeen();
      expect(counts).toEqual(counts.map((_, index) => index + 1));
      expect(await there.manifest()).toBe(manifest);
    });

    it("wrong and foreign codes are told apart in words, and the machine runs on", async () => {
      await here.startLinux("Count");
      const code = await offer();
      for (const [pasted, sentence] of [
        ["hello", "no code of"],
        [code.replace(/[\w-]{9}$/, (tail) => (tail[0] === "A" ? "B" : "A") + tail.slice(1)), "damaged"],
        [code.replace("pageferry1.", "pageferry9."), "another version"],
      ] as const) {
        await answerTo(pasted);
        expect(await faultInDialog(there)).toContain(sentence);
        await there.page.keyboard.press("Escape");
      }
      await here.page.getByLabel("Answer of the other computer").fill(code);
      await here.press("Connect and move");
      expect(await faultInDialog(here)).toContain("the code of an offer");
      await answerTo(code);
      const foreign = await codeIn(there, "Answer for the other computer");
      await here.page.keyboard.press("Escape");
      await offer();
      await here.page.getByLabel("Answer of the other computer").fill(foreign);
      await here.press("Connect and move");
      expect(await faultInDialog(here)).toContain("another offer");
      await here.page.keyboard.press("Escape");
      await here.machineOn("left");
      await here.counts(3);
    });
  },
);
