import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

/** The emulator, the terminal, and the worker with the engine in it. */
const NOT_OWN = /^(libv86|xterm|worker)-/;

/** What the page itself is in JavaScript. */
export interface OwnScripts {
  readonly files: readonly string[];
  readonly bytes: number;
  readonly gzipBytes: number;
  readonly brotliBytes: number;
}

/** The scripts of a built page without v86, the terminal and the worker, each compressed by itself as a server does. */
export function ownScripts(folder: string): OwnScripts {
  const assets = join(folder, "assets");
  const files = readdirSync(assets).filter((name) => /\.m?js$/.test(name) && !NOT_OWN.test(name));
  const contents = files.map((name) => readFileSync(join(assets, name)));
  const sum = (sizeOf: (content: Buffer) => number): number =>
    contents.reduce((bytes, content) => bytes + sizeOf(content), 0);
  return {
    files,
    bytes: sum((content) => content.length),
    gzipBytes: sum((content) => gzipSync(content, { level: 9 }).length),
    brotliBytes: sum((content) => brotliCompressSync(content).length),
  };
}
