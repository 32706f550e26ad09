import { closeSync, openSync, readSync } from "node:fs";
import type { ReadReport } from "./main.js";

/*
 * Reads a file in a process of its own and says how long that took: `sequential FILE BYTES`, in pieces of 1 MiB, or `random FILE BYTES`, every page of 4 KiB
 * once, in random order.
 */

const PAGE_BYTES = 4096;
const PIECE_BYTES = 1 << 20;
const [, , how, path = "", length] = process.argv;
const byteLength = Number(length);

function shuffled(count: number): Uint32Array {
  const numbers = new Uint32Array(count).map((_, index) => index);
  let state = 1;
  for (let at = count - 1; at > 0; at--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (at + 1));
    [numbers[at], numbers[other]] = [numbers[other] as number, numbers[at] as number];
  }
  return numbers;
}

const pieceBytes = how === "random" ? PAGE_BYTES : PIECE_BYTES;
const count = Math.ceil(byteLength / pieceBytes);
const order = how === "random" ? shuffled(count) : new Uint32Array(count).map((_, index) => index);
const piece = new Uint8Array(pieceBytes);
const file = openSync(path, "r");
const start = performance.now();
for (const number of order) readSync(file, piece, 0, pieceBytes, number * pieceBytes);
const report: ReadReport = { seconds: (performance.now() - start) / 1000, reads: count };
closeSync(file);
console.log(JSON.stringify(report));
