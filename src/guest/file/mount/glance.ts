import { closeSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { leafFolder } from "../leaf-folder.js";

/*
 * A file is to be there a few milliseconds after the process: before everything has been loaded that a chain is opened and checked with. So its length is read here, with
 * nothing but what is loaded anyway. Nothing is taken for granted by that: the thread that opens the chain checks all of it, and until then nothing is read.
 */

/** Where the header's JSON stands in a patch: src/guest/file/patch-layout.ts, without what it needs itself. */
const HEADER_AT = 32;
const HEADER_END = 544;

interface Glance {
  readonly base: { readonly byteLength: number; readonly digest: string };
  readonly next: { readonly byteLength: number; readonly digest: string };
}

/**
 * The length of the last image of a chain, where it seems to be in order and its base need not be read first. Undefined where it must be looked at more closely.
 */
export function glanceAtLength(basePath: string, patchPaths: readonly string[]): number | undefined {
  try {
    const headers = patchPaths.map(headerOf);
    const first = headers[0] as Glance;
    if (statSync(basePath).size !== first.base.byteLength) return undefined;
    for (const [index, { next }] of headers.entries()) {
      const after = headers[index + 1];
      if (after !== undefined && (after.base.digest !== next.digest || after.base.byteLength !== next.byteLength))
        return undefined;
    }
    // Throws where it is not there.
    statSync(join(leafFolder(), first.base.digest));
    const { byteLength } = (headers.at(-1) as Glance).next;
    return Number.isSafeInteger(byteLength) && byteLength > 0 ? byteLength : undefined;
  } catch {
    return undefined;
  }
}

function headerOf(path: string): Glance {
  const bytes = Buffer.alloc(HEADER_END);
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(file);
  }
  return JSON.parse(bytes.toString("utf8", HEADER_AT)) as Glance;
}
