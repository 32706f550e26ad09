import { createKernelsSync, type Kernels } from "../../src/index.js";
import { readBytes } from "./files.js";

export interface Build {
  readonly name: "release" | "debug";
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly module: WebAssembly.Module;
  create(): Kernels;
}

async function build(name: Build["name"], path: string): Promise<Build> {
  const bytes = await readBytes(path);
  const module = new WebAssembly.Module(bytes);
  return { name, bytes, module, create: () => createKernelsSync({ source: module }) };
}

/** Both builds of the kernels: every kernel's tests run on each. */
export const builds: readonly Build[] = [
  await build("release", "dist/kernels.wasm"),
  await build("debug", "build/kernels.debug.wasm"),
];
