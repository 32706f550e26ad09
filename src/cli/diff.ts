import type { Command } from "commander";
import { diffImages } from "../guest/file/diff.js";
import type { DiffReport } from "../guest/file/difference.js";
import { LeafCache } from "../guest/file/leaf-cache.js";
import { untilCancelled } from "./cancel.js";
import { createProgressBar } from "./progress-bar.js";
import { formatBytes } from "./units.js";

interface DiffCommandOptions {
  readonly output: string;
  readonly force?: true;
  readonly json?: true;
}

/** Adds `pageferry diff`. */
export function addDiffCommand(program: Command): void {
  program
    .command("diff")
    .description("make a patch that turns one memory image into another")
    .argument("<base>", "the image that the other side has")
    .argument("<new>", "the image that it shall have")
    .requiredOption("-o, --output <patch>", "the patch; like the images it holds the guest's secrets")
    .option("-f, --force", "replace an existing patch")
    .option("--json", "print what the patch consists of as one JSON object, on the last line")
    .addHelpText(
      "after",
      "\nExample:\n  pageferry diff monday.raw tuesday.raw -o tuesday.patch" +
        "\n  pageferry apply monday.raw tuesday.patch -o tuesday.raw",
    )
    .action(async (base: string, next: string, options: DiffCommandOptions) => {
      const bar = await createProgressBar("Diff");
      const report = await untilCancelled((signal) =>
        diffImages(base, next, options.output, {
          overwrite: options.force === true,
          leafCache: new LeafCache(),
          signal,
          onProgress: (done, total) => bar.update({ done, total, text: "comparing the images" }),
        }),
      ).finally(() => bar.end());
      console.log(options.json ? JSON.stringify(report) : textOf(options.output, report));
    });
}

function textOf(output: string, { base, next, pageBytes, changedPages, pages, patchBytes }: DiffReport): string {
  const classes = Object.entries(pages).map(([name, count]) => `${count} ${name}`);
  return (
    `${output}: ${formatBytes(patchBytes)} make ${formatBytes(next.byteLength)} of ${formatBytes(base.byteLength)}\n` +
    `${changedPages} of ${Math.ceil(next.byteLength / pageBytes)} pages differ: ${classes.join(", ")}`
  );
}
