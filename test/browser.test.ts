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
    expect(await outputOf(exampleIn("docs/embedding.md", "html", "browser"))).toBe(
      `${BigInt(`0x${digest.slice(16)}`)}`,
    );
  });

  it.each(["workers", "snapshots"])("the example %s of docs/browser.md shows what it says", async (name) => {
    const importMap = exampleIn("docs/browser.md", "html", "workers").match(/.*?<\/script>/s)?.[0];
    const example = exampleIn("docs/browser.md", "html", name);
    const shown = await outputOf(name === "workers" ? example : `${importMap}${example}`);
    expect(`${shown}\n`).toBe(exampleIn("docs/browser.md", "text", name));
  });

  /** What a page shows once it shows something. */
  async function outputOf(body: string): Promise<string | null> {
    const tab = await browser.newPage();
    await tab.route(`${server.origin}/`, (route) => route.fulfill({ contentType: "text/html", body }));
    // The package, as it would be installed.
    await tab.route(`${server.origin}/node_modules/pageferry/**`, (route) =>
      route.continue({ url: route.request().url().replace("/node_modules/pageferry", "") }),
    );
    await tab.goto(`${server.origin}/`);
    await tab.waitForFunction(() => document.querySelector("output")?.textContent !== "");
    return await tab.textContent("output");
  }
});
