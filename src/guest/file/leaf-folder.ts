import { homedir } from "node:os";
import { join } from "node:path";

/** The folder of {@link LeafCache}: `$XDG_CACHE_HOME/pageferry/leaves`, or below `~/.cache`. */
export function leafFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "pageferry", "leaves");
}
