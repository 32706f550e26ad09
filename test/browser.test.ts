import { createXXHash128 } from "hash-wasm";
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, launchChromium } from "./support/chromium.js";
import { exampleIn, projectFolder } from "./support/docs.js";
import { type StaticServer, serveFolder } from "./support/static-server.js";

describe.skipIf(chromiumPath === undefined)("in Chromium (skipped where it is not installed)", () => {
  let server: StaticServer;
  let browser: Browser;

  beforeAll(async () => {
    server = await serveFolder(projectFolder);
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  it("the example of docs/embedding.md shows the page's fingerprint", async () => {
    const page = new Uint8Array(4096);
    page.set(new TextEncoder().encode("a page"));
    const digest = (await createXXHash128()).update(page).digest("hex");
    const tab = await browser.newPage();
    const body = exampleIn("docs/embedding.md", "html", "browser");
    await tab.route(`${server.origin}/`, (route) => route.fulfill({ contentType: "text/html", body }));
    await tab.goto(`${server.origin}/`);
    await tab.waitForFunction(() => document.querySelector("output")?.textContent !== "");
    expect(await tab.textContent("output")).toBe(`${BigInt(`0x${digest.slice(16)}`)}`);
  });
});
