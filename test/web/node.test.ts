import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath } from "../support/chromium.js";
import { projectFolder } from "../support/docs.js";
import { usePage } from "./page-suite.js";
import { WatchedPage } from "./watched-page.js";

describe.skipIf(chromiumPath === undefined)("the page with Node (skipped where Chromium is missing)", () => {
  const suite = usePage();
  let node: ChildProcess;
  /** What `pageferry serve` has told, each an object. */
  const events: Record<string, unknown>[] = [];
  const heard = async (event: string): Promise<Record<string, unknown>> => {
    await expect.poll(() => events.some((told) => told["event"] === event), { timeout: 30_000 }).toBe(true);
    return events.find((told) => told["event"] === event) as Record<string, unknown>;
  };

  beforeAll(async () => {
    const origin = new URL(suite.served.url).origin;
    const args = ["dist/cli/main.js", "serve", "--listen", "127.0.0.1:0", "--origin", origin, "--json"];
    node = spawn(process.execPath, args, { cwd: projectFolder, stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: node.stdout as NodeJS.ReadableStream }).on("line", (line) =>
      events.push(JSON.parse(line)),
    );
  });
  afterAll(async () => {
    if (node?.exitCode === null) {
      node.kill("SIGKILL");
      await once(node, "exit");
    }
  });

  it("a Linux goes to Node by WebSocket and comes back", async () => {
    const { url } = await heard("listening");
    const tab = await WatchedPage.open(suite.context, suite.served.url);
    await tab.startLinux("Count");
    await tab.counts(3);
    const manifest = await tab.manifest();
    await tab.choose("Link", "As fast as it goes");
    await tab.choose("Where to", "Node (address)");
    await tab.press("Move it to Node");
    const dialog = tab.page.locator("dialog");
    await dialog.getByLabel("Address").fill("http://127.0.0.1/");
    await dialog.getByRole("button", { name: "Connect and move" }).click();
    await expect.poll(() => dialog.getByRole("alert").textContent()).toContain("no address of pageferry serve");
    await dialog.getByLabel("Address").fill(url as string);
    await dialog.getByRole("button", { name: "Connect and move" }).click();
    const { digest } = await heard("arrived");
    const report = await tab.report();
    expect(report).toMatchObject({ outcome: "completed", verification: { verified: true, digest } });

    await tab.page.locator("#left").getByRole("button", { name: "Wait for a machine from elsewhere" }).click();
    await tab.press(/From an address/);
    await dialog.getByLabel("Address").fill(url as string);
    await dialog.getByRole("button", { name: "Fetch it" }).click();
    await heard("departed");
    await tab.machineOn("left");
    await tab.counts(3);
    const counts = await tab.countsSeen();
    expect(counts).toEqual(counts.map((_, index) => index + 1));
    expect(await tab.manifest()).toBe(manifest);
    expect(tab.complaints).toEqual([]);
    expect(events.filter(({ event }) => event === "failed")).toEqual([]);
  });
});
