import type { Browser, BrowserContext, BrowserContextOptions } from "playwright";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { launchChromium } from "../support/chromium.js";
import { type ServedPage, servePage } from "./served-page.js";

/** The first time, Linux is fetched and booted. */
const SET_UP_MS = 400_000;

/** What the tests of a suite have: each is skipped where the page has no Linux, and has a context of its own. */
export interface PageSuite {
  readonly served: ServedPage;
  readonly browser: Browser;
  readonly context: BrowserContext;
}

/** Serves the page to a suite of tests, and starts a browser. To be called in a `describe`. */
export function usePage(
  options: BrowserContextOptions = {},
  launch: () => Promise<Browser> = () => launchChromium(),
): PageSuite {
  let served: ServedPage;
  let browser: Browser;
  let context: BrowserContext;
  beforeAll(async () => {
    served = await servePage();
    if (served.missing !== undefined && process.env["PAGEFERRY_REQUIRE"] === "all") throw new Error(served.missing);
    browser = await launch();
  }, SET_UP_MS);
  afterAll(async () => {
    await browser?.close();
    served?.close();
  });
  beforeEach(async (test) => {
    if (served.missing !== undefined) test.skip(served.missing);
    context = await browser.newContext(options);
  });
  afterEach(async () => {
    await context?.close();
  });
  return {
    get served() {
      return served;
    },
    get browser() {
      return browser;
    },
    get context() {
      return context;
    },
  };
}
