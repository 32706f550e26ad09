import { fromHex } from "../../support/bytes.js";
import { readText } from "../../support/files.js";

const FOLDER = "test/wire/golden";

/** The bytes of a `.hex` file of this folder: pairs of hex digits; from `#` to the line's end stands what they are. */
export async function goldenBytes(name: string): Promise<Uint8Array> {
  return fromHex((await readText(`${FOLDER}/${name}`)).replaceAll(/#.*/g, ""));
}

/** The lines of a text file of this folder: a name, a blank and the rest each. */
export async function goldenLines(name: string): Promise<readonly (readonly [string, string])[]> {
  const lines = (await readText(`${FOLDER}/${name}`)).trimEnd().split("\n");
  return lines.map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]);
}
