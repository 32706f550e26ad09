import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { chromiumPath, launchChromium } from "../support/chromium.js";
import { projectFolder } from "../support/docs.js";
import { usePage } from "./page-suite.js";
import { WatchedPage } from "./watched-page.js";

/** v86 with a weakness: it throws from its inside when its worker is told to. */
const WEAK_V86 = `${readFileSync(`${projectFolder}node_modules/v86/build/libv86.mjs`, "utf8")}
self.addEventListener("message", ({ data }) => {
  if (data.order === "crash") setTimeout(() => { throw new Error("unreachable"); });
});`;

describe.skipIf(chromiumPath === undefined)("what fails on the page (skipped where Chromium is missing)", () => {
  const suite = usePage();

  /** Crashes the machine in the worker that has told of something last. */
  const crash = (tab: WatchedPage): Promise<void> =>
    tab.page.evaluate(() => {
      const { worker } = watch.news.filter(({ word }) => word.news === "pace").at(-1) as { worker: number };
      watch.workers[worker]?.postMessage({ order: "crash", id: -2 });
    });
  const openWeak = async (): Promise<WatchedPage> => {
    await suite.context.route(/libv86/, (route) => route.fulfill({ contentType: "text/javascript", body: WEAK_V86 }));
    return await WatchedPage.open(suite.context, suite.served.url);
  };

  it("a machine that crashes is told of, and another can be started and moved", async () => {
    const tab = await openWeak();
    await tab.startLinux("Count");
    await tab.counts(3);
    await crash(tab);
    expect(await tab.fault()).toMatch(
      /The machine has crashed: .*unreachable.* Start a new one, or restore a snapshot\./,
    );
    await tab.page.waitForSelector("#left[data-state=failed]");
    await tab.startLinux("Count");
    await tab.choose("Link", "As fast as it goes");
    expect((await tab.move("right")).outcome).toBe("completed");
    await tab.counts(3);
  });

  it("a machine that crashes while it moves is told of, and another can be started", async () => {
    const tab = await openWeak();
    await tab.startLinux("Count");
    await tab.counts(3);
    await tab.choose("Link", "10 Mbit/s");
    await tab.press(/^Move it/);
    await tab.page.waitForFunction(() => watch.news.some(({ word }) => word.news === "pages"));
    await crash(tab);
    expect(await tab.fault()).toContain("The machine has crashed");
    await tab.page.waitForSelector("#action[data-situation=empty]");
    expect(await tab.fault()).toContain("Start a new one, or restore a snapshot.");
    await tab.startLinux("Count");
    await tab.counts(3);
  });

  it.each([
    { what: "the worker", url: /\/worker-[^z]/, sentence: "The worker that runs the machine has failed." },
    { what: "v86", url: /libv86/, sentence: "v86 cannot be loaded" },
  ])("$what that cannot be fetched is told of, and can be there the next time", async ({ url, sentence }) => {
    await suite.context.route(url, (route) => route.fulfill({ status: 404 }));
    const tab = await WatchedPage.open(suite.context, suite.served.url);
    await tab.press("Start Linux");
    await expect.poll(() => tab.fault(), { timeout: 30_000 }).toContain(sentence);
    await tab.page.waitForSelector("#action[data-situation=empty]");
    await suite.context.unroute(url);
    await tab.startLinux("Count");
    await tab.counts(3);
  });

  it.each([
    { what: "is damaged", status: 200, body: Buffer.alloc(1000, 7), sentence: "damaged, or did not come whole" },
    { what: "cannot be had", status: 500, body: Buffer.alloc(0), sentence: "answers with status 500" },
  ])("a saved Linux that $what is told of", async ({ status, body, sentence }) => {
    await suite.context.route(/linux\.image/, (route) => route.fulfill({ status, body }));
    const tab = await WatchedPage.open(suite.context, suite.served.url);
    await tab.press("Start Linux");
    expect(await tab.fault()).toContain(sentence);
    await tab.page.waitForSelector("#action[data-situation=empty]");
    await suite.context.unroute(/linux\.image/);
    await tab.startLinux();
  });

  it("without a Linux, memory with a workload moves", async () => {
    await suite.context.route(/linux\.image/, (route) => route.fulfill({ status: 404 }));
    const tab = await WatchedPage.open(suite.context, suite.served.url);
    await tab.press("Start Linux");
    await tab.machineOn("left");
    expect(await tab.fault()).toContain("This page was built without Linux");
    await tab.choose("Link", "As fast as it goes");
    expect(await tab.move("right")).toMatchObject({ outcome: "completed", verification: { verified: true } });
  });

  it("a browser without WebAssembly SIMD is told what it lacks", async () => {
    // Processors without SSE 4.1 have none of it.
    const old = await launchChromium({ args: ["--js-flags=--no-enable-sse4-1"] });
    try {
      const tab = await WatchedPage.open(await old.newContext(), suite.served.url);
      expect(await tab.page.locator("main").innerText()).toMatch(/^This browser has no WebAssembly SIMD/);
      expect(tab.complaints).toEqual([]);
    } finally {
      await old.close();
    }
  });
});
