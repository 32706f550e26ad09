import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright";
import type { MigrationReport } from "../../src/migration/report.js";
import { launchChromium } from "../../test/support/chromium.js";

const SCRIPTS = new URL("../../../scripts/", import.meta.url);
const MOVE_LIMIT_MS = 300_000;

/** One move as the page shows it. */
export interface WatchedMove {
  readonly report: MigrationReport;
  /** Frames that the browser drew, and how often the map was among them, a second. */
  readonly framesPerSecond: number;
  readonly mapsPerSecond: number;
  readonly longestFrameMs: number;
}

/** What is counted in the page while something moves. */
interface Drawn {
  atMs: number[];
  maps: number;
}

declare global {
  var drawn: Drawn;
}

/** The built page with a Linux, served on loopback and open in Chromium. */
export class BenchPage {
  /** Where the page was built to. */
  readonly folder: string;
  readonly #server: Server;
  readonly #browser: Browser;
  readonly #page: Page;
  #isLeft = true;

  private constructor(folder: string, server: Server, browser: Browser, page: Page) {
    this.folder = folder;
    this.#server = server;
    this.#browser = browser;
    this.#page = page;
  }

  /** Builds it as `npm run web` does, into a folder of its own. Throws where there is no Linux to be had. */
  static async open(): Promise<BenchPage> {
    const { buildPage, addLinux } = (await import(`${SCRIPTS}web-build.mjs`)) as {
      buildPage(folder: string): Promise<void>;
      addLinux(folder: string, onProgress: (line: string) => void): Promise<string | undefined>;
    };
    const { serveFolder } = (await import(`${SCRIPTS}web-server.mjs`)) as {
      serveFolder(folder: string, port: number): Promise<{ server: Server; url: string }>;
    };
    const folder = mkdtempSync(join(tmpdir(), "pageferry-bench-"));
    await buildPage(folder);
    const missing = await addLinux(folder, (line) => console.error(line));
    if (missing !== undefined) throw new Error(missing);
    const { server, url } = await serveFolder(folder, 0);
    const browser = await launchChromium();
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.addInitScript(countFrames);
    await page.goto(url);
    await page.waitForSelector("html[data-ready]");
    return new BenchPage(folder, server, browser, page);
  }

  async startLinux(): Promise<void> {
    await this.#page.getByRole("button", { name: "Start Linux" }).click();
    await this.#runsOn("left");
  }

  /** Has the machine do this from now on: a button's name. */
  async work(workload: string): Promise<void> {
    await this.#page
      .locator(this.#isLeft ? "#left" : "#right")
      .getByRole("button", { name: workload })
      .click();
  }

  async choose(label: string, option: string): Promise<void> {
    await this.#page.locator("#settings").getByLabel(label).selectOption({ label: option });
  }

  /** Moves the machine to the side where it is not. */
  async move(): Promise<WatchedMove> {
    this.#isLeft = !this.#isLeft;
    await this.#page.evaluate(() => {
      globalThis.drawn = { atMs: [], maps: 0 };
    });
    await this.#page.getByRole("button", { name: /^Move it/ }).click();
    await this.#runsOn(this.#isLeft ? "left" : "right");
    const { atMs, maps } = await this.#page.evaluate(() => globalThis.drawn);
    const intervals = atMs.slice(1).map((at, index) => at - (atMs[index] as number));
    const seconds = intervals.reduce((sum, interval) => sum + interval, 0) / 1000;
    return {
      report: JSON.parse((await this.#page.textContent("[data-report]")) as string) as MigrationReport,
      framesPerSecond: intervals.length / seconds,
      mapsPerSecond: maps / seconds,
      longestFrameMs: Math.max(...intervals),
    };
  }

  async close(): Promise<void> {
    await this.#browser.close();
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Waits until the machine has arrived on this side and the page says so, which it does after the report. */
  async #runsOn(side: "left" | "right"): Promise<void> {
    await this.#page.waitForSelector(`#action[data-situation=here] ~ .machines #${side}[data-state=running]`, {
      timeout: MOVE_LIMIT_MS,
    });
  }
}

/** Runs in the page before anything else: notes each frame while a machine moves, and how often a map was drawn. */
function countFrames(): void {
  globalThis.drawn = { atMs: [], maps: 0 };
  const isMoving = (): boolean => document.querySelector("#action[data-situation=moving]") !== null;
  const tick = (nowMs: number): void => {
    if (isMoving()) globalThis.drawn.atMs.push(nowMs);
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  const { putImageData } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.putImageData = function (image: ImageData, x: number, y: number): void {
    if (isMoving()) globalThis.drawn.maps += 1;
    Reflect.apply(putImageData, this, [image, x, y]);
  };
}
