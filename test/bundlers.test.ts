import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build as esbuild } from "esbuild";
import type { Browser } from "playwright";
import { rolldown } from "rolldown";
import { createLogger, build as vite } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stats, webpack } from "webpack";
import { chromiumPath, launchChromium } from "./support/chromium.js";
import { projectFolder } from "./support/docs.js";
import { installPacked } from "./support/packed.js";
import { type StaticServer, serveFolder } from "./support/static-server.js";

/** Builds the program in `folder`, its page becoming `out/NAME/index.html`; gives the warnings. */
type Build = (folder: string, out: string) => Promise<readonly string[]>;

const page = (script: string, head = ""): string =>
  `<!doctype html><link rel="icon" href="data:,">${head}<script type="module" src="${script}"></script>`;

const builds: Readonly<Record<string, Build>> = {
  async Vite(folder, out) {
    const warnings: string[] = [];
    const customLogger = createLogger("silent");
    for (const level of ["warn", "warnOnce", "error"] as const) {
      customLogger[level] = (message) => {
        warnings.push(message);
      };
    }
    writeFileSync(join(folder, "index.html"), page("./package-worker.js"));
    await vite({
      root: folder,
      configFile: false,
      base: "./",
      customLogger,
      logLevel: "warn",
      build: { outDir: out, chunkSizeWarningLimit: 1000 },
    });
    return warnings;
  },

  async webpack(folder, out) {
    const compiler = webpack({
      mode: "production",
      context: folder,
      entry: "./package-worker.js",
      output: { path: out, filename: "main.js" },
      // Only sizes are hinted at.
      performance: false,
    });
    const stats = await new Promise<Stats>((resolve, reject) => {
      compiler?.run((error, result) => (result === undefined ? reject(error) : resolve(result)));
    });
    await new Promise((resolve) => compiler?.close(resolve));
    writeFileSync(join(out, "index.html"), page("./main.js"));
    const { errors = [], warnings = [] } = stats.toJson({ all: false, errors: true, warnings: true });
    return [...errors, ...warnings].map(({ message }) => message);
  },

  async esbuild(folder, out) {
    const { warnings } = await esbuild({
      absWorkingDir: folder,
      entryPoints: { "assets/main": "./entry-worker.js", worker: "pageferry/worker" },
      outdir: out,
      bundle: true,
      splitting: true,
      format: "esm",
      minify: true,
      logLevel: "silent",
    });
    writeFileSync(join(out, "index.html"), page("./assets/main.js"));
    return warnings.map(({ text }) => text);
  },

  async rolldown(folder, out) {
    const warnings: string[] = [];
    const bundle = await rolldown({
      cwd: folder,
      input: { "assets/main": "./entry-worker.js", worker: "pageferry/worker" },
      platform: "browser",
      onLog: (level, { message }) => {
        if (level === "warn") warnings.push(message);
      },
    });
    await bundle.write({ dir: out, minify: true, entryFileNames: "[name].js" });
    await bundle.close();
    writeFileSync(join(out, "index.html"), page("./assets/main.js"));
    return warnings;
  },

  async "no bundler"(folder, out) {
    const imports = {
      pageferry: "../../node_modules/pageferry/dist/index.js",
      "pageferry/worker": "../../node_modules/pageferry/dist/worker.js",
      "@hpcc-js/wasm-zstd": "../../node_modules/@hpcc-js/wasm-zstd/dist/index.js",
      valibot: "../../node_modules/valibot/dist/index.mjs",
      "xxhash-wasm": "../../node_modules/xxhash-wasm/esm/xxhash-wasm.js",
    };
    mkdirSync(out, { recursive: true });
    for (const name of ["no-bundler.js", "program.js"]) cpSync(join(folder, name), join(out, name));
    const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`;
    writeFileSync(join(out, "index.html"), page("./no-bundler.js", map));
    return [];
  },
};

describe.skipIf(chromiumPath === undefined)("the packed library (skipped without Chromium)", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "pageferry-bundlers-")));
  let server: StaticServer;
  let browser: Browser;

  beforeAll(async () => {
    cpSync(`${projectFolder}test/bundlers`, folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
    installPacked(folder);
    server = await serveFolder(folder);
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** What the program at this path came to, all that went wrong, and every request to another place than our server. */
  async function run(path: string): Promise<{ outcome: unknown; errors: string[]; foreign: string[] }> {
    const context = await browser.newContext();
    const errors: string[] = [];
    const foreign: string[] = [];
    context.on("request", (request) => {
      if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(`${server.origin}/`)) {
        foreign.push(request.url());
      }
    });
    context.on("weberror", (error) => errors.push(error.error().message));
    context.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) errors.push(message.text());
    });
    try {
      const tab = await context.newPage();
      await tab.goto(`${server.origin}${path}`);
      const outcome = await tab.evaluate(() => (globalThis as { outcome?: unknown }).outcome);
      return { outcome, errors, foreign };
    } finally {
      await context.close();
    }
  }

  it.each(Object.entries(builds))("is built without a warning and works: %s", async (name, build) => {
    const out = join(folder, "out", name.replace(" ", "-"));
    expect(await build(folder, out)).toEqual([]);
    for (const code of scriptsIn(out)) expect(code).not.toMatch(/(from|import\(|require\()\s*["'`]node:/);
    expect(await run(`/out/${name.replace(" ", "-")}/`)).toEqual({
      outcome: {
        zeroPages: 2,
        lz4: "completed, 0 wrong pages",
        zstd: "completed, 0 wrong pages",
        workersByDefault: "completed, empty,running",
        workersByFactory: "completed, empty,running",
      },
      errors: [],
      foreign: [],
    });
  });

  it("is shaken down to what is imported", async () => {
    const migrate = await compressedBytes("migrate");
    expect(await compressedBytes("createKernels")).toBeLessThan(16_000);
    expect(migrate).toBeLessThan(40_000);
    expect(migrate).toBeLessThan(0.8 * (await compressedBytes("*")));
  });

  /** How large the code is, minified and compressed, that imports only this; without zstd, which is loaded when used. */
  async function compressedBytes(name: string): Promise<number> {
    const { outputFiles } = await esbuild({
      stdin: { contents: `export ${name === "*" ? "*" : `{ ${name} }`} from "pageferry";`, resolveDir: folder },
      bundle: true,
      external: ["@hpcc-js/wasm-zstd"],
      format: "esm",
      minify: true,
      write: false,
    });
    return gzipSync(outputFiles[0]?.contents as Uint8Array).length;
  }
});

/** The scripts in a folder and those below. */
function scriptsIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".js"))
    .map((path) => readFileSync(join(folder, path), "utf8"));
}
