import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createXXHash128 } from "hash-wasm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exampleIn, projectFolder } from "./support/docs.js";
import { findProgram } from "./support/require.js";

const example = exampleIn("docs/embedding.md", "html", "browser");
const MIGRATE = `<output></output><script type="module">
  import { Destination, MemoryGuest, MemoryHost, messagePortConnection, migrate } from "pageferry";
  const { port1, port2 } = new MessageChannel();
  const guest = new MemoryGuest({ memoryBytes: 8 << 20 });
  const host = new MemoryHost();
  const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 8 << 20 });
  const arriving = destination.receive(messagePortConnection(port2));
  const report = await migrate(guest, messagePortConnection(port1), { compression: "lz4" }).report;
  await arriving;
  host.content.advance(10);
  host.content.stop();
  const hasCounted = host.content.steps >= guest.content.steps + 10;
  document.querySelector("output").textContent =
    report.outcome + ", " + host.content.wrongPages().length + " wrong pages, counted on: " + hasCounted;
</script>`;
const chromium = findProgram("chromium", "chromium-browser", "google-chrome");

describe.skipIf(chromium === undefined)("in Chromium (skipped where it is not installed)", () => {
  const profile = mkdtempSync(join(tmpdir(), "pageferry-chromium-"));
  let server: Server;

  /** Serves the example as a page, and the built files. */
  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === "/") {
        response.setHeader("content-type", "text/html").end(example);
      } else if (request.url === "/migrate") {
        response
          .setHeader("content-type", "text/html")
          .end(`${example.match(/.*?importmap.*?<\/script>/s)?.[0]}${MIGRATE}`);
      } else if (request.url?.match(/^\/(dist|node_modules)\/[\w/.-]+\.m?js$/) && !request.url.includes("..")) {
        response.setHeader("content-type", "text/javascript").end(readFileSync(`${projectFolder}${request.url}`));
      } else {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => {
    server.close();
    rmSync(profile, { recursive: true, force: true });
  });

  async function show(path: string): Promise<string> {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
    const { stdout } = await promisify(execFile)(chromium as string, [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--user-data-dir=${profile}`,
      "--virtual-time-budget=20000",
      "--dump-dom",
      url,
    ]);
    return stdout;
  }

  it("the example of docs/embedding.md shows the page's fingerprint", async () => {
    const page = new Uint8Array(4096);
    page.set(new TextEncoder().encode("a page"));
    const digest = (await createXXHash128()).update(page).digest("hex");
    expect(await show("/")).toContain(`<output>${BigInt(`0x${digest.slice(16)}`)}</output>`);
  });

  it("a machine moves over a MessagePort", async () => {
    expect(await show("/migrate")).toContain("<output>completed, 0 wrong pages, counted on: true</output>");
  });
});
