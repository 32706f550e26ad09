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

const chromium = findProgram("chromium", "chromium-browser", "google-chrome");

describe.skipIf(chromium === undefined)("in Chromium (skipped where it is not installed)", () => {
  const profile = mkdtempSync(join(tmpdir(), "pageferry-chromium-"));
  let server: Server;

  /** Serves the example as a page, and the built files. */
  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === "/") {
        response.setHeader("content-type", "text/html").end(exampleIn("docs/embedding.md", "html", "browser"));
      } else if (request.url?.match(/^\/dist\/[\w/.-]+\.js$/) && !request.url.includes("..")) {
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

  it("the example of docs/embedding.md shows the page's fingerprint", async () => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
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
    const page = new Uint8Array(4096);
    page.set(new TextEncoder().encode("a page"));
    const digest = (await createXXHash128()).update(page).digest("hex");
    expect(stdout).toContain(`<output>${BigInt(`0x${digest.slice(16)}`)}</output>`);
  });
});
