import { sentenceOf } from "./sentences.js";

/** A module with one function of two SIMD instructions. */
const SIMD_MODULE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03],
  ...[0x02, 0x01, 0x00, 0x0a, 0x0a, 0x01, 0x08, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x62, 0x0b],
);

/** Why this browser cannot show the page; undefined where it can. */
export function browserFault(): string | undefined {
  const hasSimd = typeof WebAssembly === "object" && WebAssembly.validate(SIMD_MODULE);
  if (!hasSimd) return sentenceOf({ code: "simd-missing" }, "nothing");
  if (typeof Worker !== "function") return "This browser has no workers, which the machines run in.";
  return undefined;
}
