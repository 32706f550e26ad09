import { readFileSync } from "node:fs";

function read(name: string): string {
  return readFileSync(new URL(name, import.meta.url), "utf8");
}

/** The bytes of a `.hex` file of this folder: pairs of hex digits; from `#` to the line's end stands what they are. */
export function goldenBytes(name: string): Uint8Array {
  const digits = read(name).replaceAll(/#.*|\s/g, "");
  return Uint8Array.from(Buffer.from(digits, "hex"));
}

/** The lines of a text file of this folder: a name, a blank and the rest each. */
export function goldenLines(name: string): readonly (readonly [string, string])[] {
  const lines = read(name).trimEnd().split("\n");
  return lines.map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]);
}
