import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { GuestError } from "../errors.js";
import { createEmulatorOf, type EmulatorOptions, type V86Library } from "./create.js";
import type { V86Emulator, V86Shape } from "./emulator.js";

/** The package v86 that is installed beside this library. Throws `missing-program`. */
async function loadV86(): Promise<V86Library> {
  const require = createRequire(import.meta.url);
  try {
    const { V86 } = (await import("v86")) as unknown as Pick<V86Library, "V86">;
    const manifest = await readFile(require.resolve("v86/package.json"), "utf8");
    const wasm = await readFile(require.resolve("v86/build/v86.wasm"));
    return { version: JSON.parse(manifest).version, V86, module: await WebAssembly.compile(wasm) };
  } catch (cause) {
    throw new GuestError("missing-program", "The package v86 is not installed: npm install v86@0.5.462", { cause });
  }
}

let loading: Promise<V86Library> | undefined;

/** The v86 that is installed. Throws `missing-program` where none is. */
export async function installedV86(): Promise<V86Library> {
  loading ??= loadV86();
  return await loading;
}

/** The version of v86 that is installed. Throws `missing-program` where none is. */
export async function installedVersion(): Promise<string> {
  return (await installedV86()).version;
}

/** Makes an emulator of the v86 that is installed, as {@link createEmulatorOf} does. Throws also `missing-program` where none is. */
export async function createEmulator(
  options: EmulatorOptions = {},
): Promise<{ readonly emulator: V86Emulator; readonly shape: V86Shape }> {
  return await createEmulatorOf(await installedV86(), options);
}
