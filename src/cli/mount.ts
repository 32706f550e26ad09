import type { Command } from "commander";
import { DEFAULT_MOST_READS } from "../guest/file/chain/budget.js";
import { mountUntilEnded } from "./mounting.js";
import { readsOption } from "./reads-option.js";

interface MountCommandOptions {
  readonly mostReads?: number;
}

/** Adds `pageferry mount`. */
export function addMountCommand(program: Command): void {
  program
    .command("mount")
    .description("make a memory image, or what patches make of it, appear as a file at once (Linux, root)")
    .argument(
      "<image>",
      "a memory image: the guest's RAM as it is; or ws://HOST:PORT/images/NAME#TOKEN, one of `pageferry serve`",
    )
    .argument("<patch-or-file...>", "what `pageferry diff` made of it, in order; and where the file shall appear")
    .addOption(readsOption(`how many reads a page may take when it is touched (default: ${DEFAULT_MOST_READS})`))
    .addHelpText(
      "after",
      "\nThe file is read-only; a virtual machine maps it privately. It goes, also from those who have it open, on Ctrl-C or SIGTERM." +
        "\n\nExample:\n  pageferry mount monday.raw tuesday.patch wednesday.patch /dev/shm/wednesday.raw",
    )
    .action((image: string, others: readonly string[], { mostReads }: MountCommandOptions) =>
      mountUntilEnded([image, ...others], mostReads),
    );
}
