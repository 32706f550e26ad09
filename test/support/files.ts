import type {} from "vitest/browser";

/** Files for tests that run in Node and in the browser, where vitest's server reads them. */

declare module "vitest/browser" {
  interface BrowserCommands {
    /** {@link readMachineCode}, as base64. */
    readMachineCode: () => Promise<string>;
  }
}

const isNode = globalThis.process?.versions?.node !== undefined;

/** The bytes of a file; `path` starts at the project's folder. */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (isNode) {
    const { readFileSync } = await import("node:fs");
    return Uint8Array.from(readFileSync(`${import.meta.dirname}/../../${path}`));
  }
  const { commands, server } = await import("vitest/browser");
  return fromBase64(await commands.readFile(`${server.config.root}/${path}`, "base64"));
}

/** The bytes of a file of an installed package; `path` starts with the package's name. */
export async function readPackageBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (!isNode) return readBytes(`node_modules/${path}`);
  const { readFileSync } = await import("node:fs");
  const { createRequire } = await import("node:module");
  return Uint8Array.from(readFileSync(createRequire(import.meta.url).resolve(path)));
}

/** The text of a file; `path` starts at the project's folder. */
export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readBytes(path));
}

/** 1 MiB of real machine code: from the middle of Node's own. */
export async function readMachineCode(): Promise<Uint8Array<ArrayBuffer>> {
  if (isNode) {
    const { readFileSync } = await import("node:fs");
    return Uint8Array.from(readFileSync(process.execPath).subarray(4 << 20, 5 << 20));
  }
  const { commands } = await import("vitest/browser");
  return fromBase64(await commands.readMachineCode());
}

function fromBase64(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
