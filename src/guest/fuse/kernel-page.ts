import { readFileSync } from "node:fs";

const ENTRY_BYTES = 16;
/** Of the entry that says how large pages are. */
const AT_PAGESZ = 6n;
const USUAL_BYTES = 4096;

/** How large this Linux's pages are: 4096 bytes on x86-64, up to 64 KiB elsewhere. Layout of the file: getauxval(3), pairs of 64-bit numbers. */
export function kernelPageBytes(): number {
  const entries = readFileSync("/proc/self/auxv");
  for (let at = 0; at + ENTRY_BYTES <= entries.length; at += ENTRY_BYTES) {
    if (entries.readBigUInt64LE(at) === AT_PAGESZ) return Number(entries.readBigUInt64LE(at + 8));
  }
  return USUAL_BYTES;
}
