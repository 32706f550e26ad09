import { readSync, writeSync } from "node:fs";

/** Reads from byte `position` on until `into` is full; what lies behind the file's end is zeros. */
export function readPadded(file: number, position: number, into: Uint8Array): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(file, into, done, into.length - done, position + done);
    if (count === 0) return void into.fill(0, done);
    done += count;
  }
}

/** Writes from byte `position` on, at most `maxBytes` bytes. */
export function writeUpTo(file: number, position: number, from: Uint8Array, maxBytes: number): void {
  const end = Math.min(from.length, maxBytes);
  for (let done = 0; done < end; ) done += writeSync(file, from, done, end - done, position + done);
}
