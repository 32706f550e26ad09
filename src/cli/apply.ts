import type { Command } from "commander";
import { applyPatch } from "../guest/file/apply.js";
import { untilCancelled } from "./cancel.js";
import { createProgressBar } from "./progress-bar.js";
import { formatBytes } from "./units.js";

interface ApplyCommandOptions {
  readonly output: string;
  readonly force?: true;
  readonly json?: true;
}

/** Adds `pageferry apply`. */
export function addApplyCommand(program: Command): void {
  program
    .command("apply")
    .description("make a memory image out of an older one and a patch")
    .argument("<base>", "the image that the patch was made from")
    .argument("<patch>", "what `pageferry diff` made")
    .requiredOption("-o, --output <new>", "the new image, as it was when the patch was made")
    .option("-f, --force", "replace an existing image, which may be the base")
    .option("--json", "print what the patch says of itself as one JSON object, on the last line")
    .addHelpText("after", "\nExample:\n  pageferry apply monday.raw tuesday.patch -o tuesday.raw")
    .action(async (base: string, patch: string, options: ApplyCommandOptions) => {
      const bar = await createProgressBar("Apply");
      const header = await untilCancelled((signal) =>
        applyPatch(base, patch, options.output, {
          overwrite: options.force === true,
          signal,
          onProgress: (text, done, total) => bar.update({ done, total, text }),
        }),
      ).finally(() => bar.end());
      const { byteLength, digest } = header.next;
      console.log(
        options.json ? JSON.stringify(header) : `${options.output}: ${formatBytes(byteLength)}, verified (${digest})`,
      );
    });
}
