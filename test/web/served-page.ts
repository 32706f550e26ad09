import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Route } from "playwright";
import { projectFolder } from "../support/docs.js";

/** The built page on loopback. */
export interface ServedPage {
  readonly url: string;
  /** Why the page has no Linux; undefined where it has. */
  readonly missing: string | undefined;
  close(): void;
}

/** Builds the page as `npm run web` does, into a folder of its own, and serves it at a free port. */
export async function servePage(): Promise<ServedPage> {
  const { buildPage, addLinux } = (await import(`${projectFolder}scripts/web-build.mjs`)) as {
    buildPage(folder: string): Promise<void>;
    addLinux(folder: string, onProgress: (line: string) => void): Promise<string | undefined>;
  };
  const { serveFolder } = (await import(`${projectFolder}scripts/web-server.mjs`)) as {
    serveFolder(folder: string, port: number): Promise<{ server: Server; url: string }>;
  };
  const folder = mkdtempSync(join(tmpdir(), "pageferry-page-"));
  await buildPage(folder);
  const missing = await addLinux(folder, () => {});
  const { server, url } = await serveFolder(folder, 0);
  return {
    url,
    missing,
    close() {
      server.closeAllConnections();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Answers a browser's requests with the page, whatever network the browser is in. */
export function ruleFor({ url }: ServedPage): (route: Route) => Promise<void> {
  return async (route) => {
    const { pathname } = new URL(route.request().url());
    const response = await fetch(new URL(pathname, url));
    const body = Buffer.from(await response.arrayBuffer());
    await route.fulfill({ status: response.status, headers: Object.fromEntries(response.headers), body });
  };
}
