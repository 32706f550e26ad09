// Builds the page into a folder, and puts a Linux beside it that has booted already.
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const root = new URL("../", import.meta.url);
/** Where `npm run web` builds the page to. */
export const pageFolder = fileURLToPath(new URL("build/web/", root));

/** Builds the page from web/ and the library as it is in dist/, and puts the documents beside it. */
export async function buildPage(folder) {
  const configFile = fileURLToPath(new URL("web/vite.config.ts", root));
  await build({ configFile, logLevel: "warn", build: { outDir: folder } });
  cpSync(new URL("docs/", root), join(folder, "docs"), { recursive: true });
}

/**
 * Puts the demo guest beside the page, for which it is booted the first time. Without the means to get one (apt), the page is left without it; the
 * reason is returned then.
 */
export async function addLinux(folder, onProgress) {
  const { bootedGuest, GuestError } = await import("../dist/node.js");
  const file = join(folder, "linux.image");
  try {
    writeFileSync(file, pack(await bootedGuest({ onProgress })));
    return undefined;
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    rmSync(file, { force: true });
    return error.message;
  }
}

/** As web/src/linux-image.ts reads it. */
function pack({ shape, state, consoleText }) {
  const { memoryBytes, vgaMemoryBytes } = shape;
  const header = Buffer.from(JSON.stringify({ memoryBytes, vgaMemoryBytes, consoleBytes: consoleText.length }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return gzipSync(Buffer.concat([length, header, consoleText, state]), { level: 6 });
}
