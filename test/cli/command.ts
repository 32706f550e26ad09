import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { projectFolder } from "../support/docs.js";

/** The built command. */
export const command: string = `${projectFolder}dist/cli/main.js`;

/** Runs `pageferry` to its end. */
export function pageferry(...words: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [command, ...words], { encoding: "utf8" });
}

/** Runs `pageferry` with `--json`; the object on its last line. */
export function pageferryJson(...words: string[]): unknown {
  const { status, stdout, stderr } = pageferry(...words, "--json");
  if (status !== 0) throw new Error(`pageferry ended with ${status}: ${stderr}`);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) as string);
}
