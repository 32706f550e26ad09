import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The path of the first of these programs that is installed. Under PAGEFERRY_REQUIRE=all a missing one is an error, not a reason to skip. */
export function findProgram(...names: readonly string[]): string | undefined {
  for (const name of names) {
    for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not in this folder.
      }
    }
  }
  if (process.env["PAGEFERRY_REQUIRE"] === "all") throw new Error(`None of these is installed: ${names.join(", ")}`);
  return undefined;
}
