import type { Server } from "node:http";
import { projectFolder } from "../support/docs.js";

/** The built page on loopback. */
export interface ServedPage {
  readonly url: string;
  /** Why the page has no Linux; undefined where it has. */
  readonly missing: string | undefined;
  close(): void;
}

/** Builds the page as `npm run web` does, and serves it at a free port. */
export async function servePage(): Promise<ServedPage> {
  const { buildPage, addLinux, pageFolder } = (await import(`${projectFolder}scripts/web-build.mjs`)) as {
    buildPage(): Promise<void>;
    addLinux(onProgress: (line: string) => void): Promise<string | undefined>;
    pageFolder: string;
  };
  const { serveFolder } = (await import(`${projectFolder}scripts/web-server.mjs`)) as {
    serveFolder(folder: string, port: number): Promise<{ server: Server; url: string }>;
  };
  await buildPage();
  const missing = await addLinux(() => {});
  const { server, url } = await serveFolder(pageFolder, 0);
  return {
    url,
    missing,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
