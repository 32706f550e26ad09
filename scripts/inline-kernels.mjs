// Writes src/kernel/inline.ts: the release build of the kernels as base64, which works in every runtime and bundler.
import { readFileSync, writeFileSync } from "node:fs";

const base64 = readFileSync(new URL("../dist/kernels.wasm", import.meta.url)).toString("base64");
writeFileSync(
  new URL("../src/kernel/inline.ts", import.meta.url),
  `// Made by scripts/inline-kernels.mjs from assembly/; not in the repository.
const BASE64 = "${base64}";

/** The release build of the kernels. */
export function inlineKernels(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(BASE64), (character) => character.charCodeAt(0));
}
`,
);
