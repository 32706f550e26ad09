import type { Command } from "commander";
import { squashPatches } from "../guest/file/chain/squash.js";
import { LeafCache } from "../guest/file/leaf-cache.js";
import { untilCancelled } from "./cancel.js";
import { createProgressBar } from "./progress-bar.js";
import { formatBytes } from "./units.js";

interface SquashCommandOptions {
  readonly output: string;
  readonly force?: true;
  readonly json?: true;
}

/** Adds `pageferry squash`. */
export function addSquashCommand(program: Command): void {
  program
    .command("squash")
    .description("make one patch of several that follow each other")
    .argument("<base>", "the image that the first patch was made from")
    .argument("<patch...>", "what `pageferry diff` made, in the order in which it was made")
    .requiredOption("-o, --output <patch>", "the patch from the base to the last image; it holds the guest's secrets")
    .option("-f, --force", "replace an existing patch, which may be one of those")
    .option("--json", "print what the patch consists of as one JSON object, on the last line")
    .addHelpText("after", "\nExample:\n  pageferry squash monday.raw tuesday.patch wednesday.patch -o both.patch")
    .action(async (base: string, patches: readonly string[], options: SquashCommandOptions) => {
      const bar = await createProgressBar("Squash");
      const report = await untilCancelled((signal) =>
        squashPatches(base, patches, options.output, {
          overwrite: options.force === true,
          leafCache: new LeafCache(),
          signal,
          onProgress: (text, done, total) => bar.update({ done, total, text }),
        }),
      ).finally(() => bar.end());
      if (options.json) {
        console.log(JSON.stringify(report));
        return;
      }
      const { byteLength, digest } = report.next;
      console.log(`${options.output}: ${formatBytes(report.patchBytes)} instead of ${patches.length} patches`);
      console.log(`It makes ${formatBytes(byteLength)}, verified (${digest})`);
    });
}
