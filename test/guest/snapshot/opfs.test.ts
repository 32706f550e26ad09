import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { build } from "esbuild";
import type { Browser, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, launchChromium } from "../../support/chromium.js";
import type { Step } from "./opfs-program.js";

type Runner = (step: Step, folder: string) => Promise<unknown>;

describe.skipIf(chromiumPath === undefined)("in Chromium (skipped where it is not installed)", () => {
  let server: Server;
  let browser: Browser;
  let origin: string;

  beforeAll(async () => {
    const { outputFiles } = await build({
      entryPoints: [`${import.meta.dirname}/opfs-program.ts`],
      bundle: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      write: false,
    });
    server = createServer((request, response) => {
      if (request.url === "/program.js") {
        response.setHeader("content-type", "text/javascript").end(outputFiles[0]?.contents);
      } else {
        response
          .setHeader("content-type", "text/html")
          .end("<!doctype html><script type=module src=program.js></script>");
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  /** A page of its own, with a storage of its own. */
  async function open(): Promise<Page> {
    const page = await (await browser.newContext()).newPage();
    await page.goto(origin);
    await page.waitForFunction("globalThis.steps !== undefined");
    return page;
  }

  function inPage(page: Page): Runner {
    return (step, folder) => page.evaluate(`steps.${step}(${JSON.stringify(folder)})`);
  }

  async function inWorker(page: Page): Promise<Runner> {
    await page.evaluate(`new Promise((resolve) => {
      globalThis.worker = new Worker("program.js", { type: "module" });
      worker.onmessage = resolve;
    }).then(() => undefined)`);
    return (step, folder) =>
      page.evaluate(`new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage(${JSON.stringify([step, folder])});
      })`);
  }

  for (const place of ["page", "worker", "worker without createWritable"] as const) {
    it(`a ${place} keeps snapshots in the origin-private file system, until that is full`, async () => {
      const page = await open();
      const isOld = place === "worker without createWritable";
      const run = place === "page" ? inPage(page) : await inWorker(page);
      if (isOld) await run("forgetCreateWritable", "kept");
      const { storedBytes, listed } = (await run("save", "kept")) as { storedBytes: number[]; listed: number };
      expect(listed).toBe(2);
      expect(storedBytes[0]).toBeGreaterThan(100_000);
      expect(storedBytes[1]).toBeLessThan(544 + 11 * 110);
      expect(await run("interrupt", "kept")).toHaveLength(2);

      // Room to begin, but not for all of it; the older way is checked by Chromium only as it begins, where it keeps files in memory.
      const quotaSize = isOld ? 1000 : storedBytes.reduce((sum, bytes) => sum + bytes, 1_000_000);
      const session = await page.context().newCDPSession(page);
      await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize });
      expect(await run("saveMore", "kept")).toEqual({
        code: "storage-full",
        message: expect.stringMatching(/is full: the snapshot needs \d+ bytes, and \d+ are free/),
        files: 2,
        listed: 2,
        runs: true,
      });
      await session.send("Storage.overrideQuotaForOrigin", { origin });

      // What one has saved, the other restores.
      const other = place === "page" ? await inWorker(page) : inPage(page);
      expect(await other("restore", "kept")).toEqual([
        { steps: 0, isRunning: true, wrongPages: 0 },
        { steps: 10, isRunning: true, wrongPages: 0 },
      ]);
      await page.context().close();
    });
  }
});
