import { readFileSync } from "node:fs";
import { createKernelsSync, type Kernels } from "../../src/index.js";

export interface Build {
  readonly name: "release" | "debug";
  readonly bytes: Uint8Array;
  readonly module: WebAssembly.Module;
  create(): Kernels;
}

function build(name: Build["name"], path: string): Build {
  const bytes = readFileSync(new URL(path, import.meta.url));
  const module = new WebAssembly.Module(bytes);
  return { name, bytes, module, create: () => createKernelsSync({ source: module }) };
}

/** Both builds of the kernels: every kernel's tests run on each. */
export const builds: readonly Build[] = [
  build("release", "../../dist/kernels.wasm"),
  build("debug", "../../build/kernels.debug.wasm"),
];
