import { readFileSync } from "node:fs";
import type { BrowserContext, Page } from "playwright";
import { expect } from "vitest";
import type { MigrationReport } from "../../src/migration/report.js";
import type { MachineNews } from "../../src/worker/messages.js";
import { projectFolder } from "../support/docs.js";

/** Waits of the page's own work, in a browser without a GPU beside other tests. */
const WAIT_MS = 30_000;

/** What the workers of a page have said, kept in the page itself. */
interface Watch {
  readonly workers: Worker[];
  readonly news: { readonly worker: number; readonly atMs: number; readonly word: MachineNews }[];
  shift: number;
}

declare global {
  var watch: Watch;
  var axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
}

const watchedContexts = new WeakSet<BrowserContext>();

/** One tab with the page, of which all is seen that its workers say, that it asks for over the network, and that it complains of. */
export class WatchedPage {
  readonly page: Page;
  readonly requests: string[] = [];
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on("request", (request) => this.requests.push(request.url()));
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
  }

  /** Opens the page in a tab of its own; also tabs that it opens can be watched then. */
  static async open(context: BrowserContext, url: string): Promise<WatchedPage> {
    if (!watchedContexts.has(context)) await context.addInitScript(watchWorkers);
    watchedContexts.add(context);
    const page = await context.newPage();
    const watched = WatchedPage.adopt(page);
    await page.goto(url);
    await page.waitForSelector("html[data-ready]");
    return watched;
  }

  /** A tab that the page itself has opened. */
  static adopt(page: Page): WatchedPage {
    return new WatchedPage(page);
  }

  async press(name: string | RegExp): Promise<void> {
    await this.page.getByRole("button", { name }).first().click();
  }

  async choose(label: string, option: string): Promise<void> {
    await this.page.locator("#settings").getByLabel(label).selectOption({ label: option });
  }

  /** Starts the Linux, and the workload of this name. */
  async startLinux(workload?: string): Promise<void> {
    await this.press("Start Linux");
    await this.machineOn("left");
    if (workload !== undefined) await this.page.locator("#left").getByRole("button", { name: workload }).click();
  }

  /** Waits until the machine runs on this side. */
  async machineOn(side: "left" | "right"): Promise<void> {
    await this.page.waitForSelector(`#${side}[data-state=running]`, { timeout: WAIT_MS });
  }

  /** Moves the machine to the other side of the page; resolves with the report that the page shows. */
  async move(to: "left" | "right"): Promise<MigrationReport> {
    await this.press(/^Move it/);
    await this.machineOn(to);
    return await this.report();
  }

  /** The report that the page keeps beside its words. */
  async report(): Promise<MigrationReport> {
    await this.page.waitForFunction(() => document.querySelector("[data-report]")?.textContent !== "");
    return JSON.parse((await this.page.textContent("[data-report]")) as string) as MigrationReport;
  }

  /** What stands in the line of faults, once something does. */
  async fault(): Promise<string> {
    await this.page.waitForFunction(() => document.querySelector("#notices")?.textContent !== "");
    return (await this.page.textContent("#notices")) as string;
  }

  /** Waits until the machine's console has so many more counts. */
  async counts(more: number): Promise<void> {
    const seen = (await this.countsSeen()).length;
    await expect.poll(async () => (await this.countsSeen()).length, { timeout: WAIT_MS }).toBeGreaterThan(seen + more);
  }

  /** All that the machine has counted, in the order in which this page has heard of it; what came with it from elsewhere replaces what was before. */
  async countsSeen(): Promise<number[]> {
    const text = await this.consoleText();
    return Array.from(text.matchAll(/PF count (\d+)\r/g), ([, count]) => Number(count));
  }

  /** The console of the machine that came last: what it had printed before it came, and since. */
  consoleText(): Promise<string> {
    return this.page.evaluate(() => {
      let text = "";
      let newest = -1;
      for (const { worker, word } of watch.news) {
        if (word.news !== "console" || !(word.isPast || worker === newest)) continue;
        const printed = new TextDecoder("latin1").decode(word.bytes);
        text = word.isPast ? printed : text + printed;
        newest = worker;
      }
      return text;
    });
  }

  /** Asks the machine for the SHA-256 of a file that it has had from the start. */
  async manifest(): Promise<string> {
    const answer = await this.page.evaluate(async () => {
      const before = watch.news.length;
      const machine = watch.news.filter(({ word }) => word.news === "state" && word.state === "running").at(-1);
      watch.workers[machine?.worker ?? 0]?.postMessage({
        order: "type",
        id: -1,
        in: { port: 1, text: "pf-manifest\n" },
      });
      for (;;) {
        for (const { word } of watch.news.slice(before)) {
          if (word.news === "answer" && word.line.startsWith("PF manifest")) return word.line;
        }
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
    });
    expect(answer).toMatch(/^PF manifest [0-9a-f]{64}$/);
    return answer;
  }

  /** Pages by class, counted from the news of the moves since the page was opened or this was asked last, and the last progress. */
  takeMoveNews(memoryPages: number): Promise<{
    readonly classes: Record<number, number>;
    readonly rounds: number;
    readonly transferredBytes: number;
  }> {
    return this.page.evaluate((memoryPages) => {
      const classes: Record<number, number> = {};
      let rounds = 0;
      let transferredBytes = 0;
      for (const { word } of watch.news.splice(0)) {
        if (word.news === "progress") transferredBytes = word.progress.transferredBytes;
        if (word.news !== "pages") continue;
        rounds = Math.max(rounds, word.round + 1);
        for (const [at, page] of word.pages.entries()) {
          const name = word.classes[at] as number;
          if (page < memoryPages) classes[name] = (classes[name] ?? 0) + 1;
        }
      }
      return { classes, rounds, transferredBytes };
    }, memoryPages);
  }

  /** What axe finds that is serious or critical. */
  async seriousFindings(): Promise<string[]> {
    const script = readFileSync(`${projectFolder}node_modules/axe-core/axe.min.js`, "utf8");
    if (!(await this.page.evaluate(() => "axe" in globalThis))) await this.page.evaluate(script);
    const { violations } = await this.page.evaluate(() => axe.run());
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(", ")}`);
  }
}

/** Runs in the page before anything else. */
function watchWorkers(): void {
  const news: Watch["news"] = [];
  const workers: Worker[] = [];
  globalThis.watch = { news, workers, shift: 0 };
  globalThis.Worker = class extends Worker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      const worker = workers.push(this) - 1;
      this.addEventListener("message", ({ data }) => news.push({ worker, atMs: performance.now(), word: data }));
    }
  };
  // Shifts right after something was pressed are what was asked for.
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
      if (!entry.hadRecentInput) watch.shift += entry.value;
    }
  }).observe({ type: "layout-shift", buffered: true });
}
