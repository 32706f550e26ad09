import type { Command } from "commander";
import { DEFAULT_MOST_READS } from "../guest/file/chain/budget.js";
import { mountImage } from "../guest/file/mount/mount.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import { readsOption } from "./reads-option.js";
import { formatBytes } from "./units.js";

interface MountCommandOptions {
  readonly mostReads?: number;
}

/** Adds `pageferry mount`. */
export function addMountCommand(program: Command): void {
  program
    .command("mount")
    .description("make a memory image, or what patches make of it, appear as a file at once (Linux, root)")
    .argument("<image>", "a memory image: the guest's RAM as it is")
    .argument("<patch-or-file...>", "what `pageferry diff` made of it, in order; and where the file shall appear")
    .addOption(readsOption(`how many reads a page may take when it is touched (default: ${DEFAULT_MOST_READS})`))
    .addHelpText(
      "after",
      "\nThe file is read-only; a virtual machine maps it privately. It goes, also from those who have it open, on Ctrl-C or SIGTERM." +
        "\n\nExample:\n  pageferry mount monday.raw tuesday.patch wednesday.patch /dev/shm/wednesday.raw",
    )
    .action(async (image: string, others: readonly string[], { mostReads }: MountCommandOptions) => {
      const file = others.at(-1) as string;
      const patches = others.slice(0, -1);
      const mounted = await mountImage([image, ...patches], file, {
        mostReads,
        onNotice: (sentence) => console.error(`pageferry: ${sentence}`),
      });
      const end = ending();
      const of = patches.length === 0 ? image : `${image} and ${patches.length} patches`;
      console.log(`ready: ${file}, ${formatBytes(mounted.byteLength)} of ${of}`);
      try {
        await Promise.race([end, mounted.settled.then(() => end)]);
      } finally {
        await mounted.unmount();
      }
    });
}

/** Resolves when the user wants it to end. Rejects when somebody else has taken the mount away: then nothing holds the process any more. */
function ending(): Promise<void> {
  return new Promise((resolve, reject) => {
    // For good: once there is no listener, the mount itself ends the process on a signal.
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => resolve());
    process.once("beforeExit", () =>
      reject(new CommandError(ExitCode.failed, "The file was unmounted by somebody else.")),
    );
  });
}
