// Writes dist/worker.js: what a worker runs, without bare imports, since import maps do not reach workers. Zstandard is most of it and seldom used: it
// stands in a file beside it, dist/worker-zstd.js. The licences of the packages that are in them are in dist/worker.LICENSES.txt.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const project = fileURLToPath(new URL("../", import.meta.url));
const { metafile } = await build({
  absWorkingDir: project,
  entryPoints: { worker: "dist/worker/worker.js", "worker-zstd": "@hpcc-js/wasm-zstd" },
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  // Not the whitespace: the comments that tell bundlers to leave an import alone would go with it.
  minifyIdentifiers: true,
  minifySyntax: true,
  sourcemap: true,
  legalComments: "inline",
  banner: { js: "/*! Part of the worker of pageferry. Licences of what is in it: worker.LICENSES.txt */" },
  logLevel: "warning",
  metafile: true,
});
writeFileSync(`${project}dist/worker.d.ts`, "export {};\n");

const names = Object.keys(metafile.inputs).map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]);
const licences = [...new Set(names.filter((name) => name !== undefined))].sort().map((name) => {
  const folder = `${project}node_modules/${name}`;
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} goes into the worker and has no licence in its package.`);
  const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  // What a package is made of can have a licence that the package does not carry.
  const others = new URL(`licences/${name.replace("/", "+")}.txt`, import.meta.url);
  const more = existsSync(others) ? `\n${readFileSync(others, "utf8").trim()}\n` : "";
  return `${name} ${version} (${license})\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}\n${more}`;
});
writeFileSync(`${project}dist/worker.LICENSES.txt`, licences.join(`\n${"-".repeat(80)}\n\n`));
