import { basename } from "node:path";
import { type Command, Option } from "commander";
import { FileGuest } from "../guest/file/guest.js";
import type { Guest } from "../guest/guest.js";
import { MemoryGuest } from "../guest/memory/guest.js";
import { V86Guest } from "../guest/v86/guest.js";
import { startDemoGuest } from "../guest/v86/image.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import { addMigrationOptions, type MigrationOptions, moveGuest } from "./migrating.js";

interface SendOptions extends MigrationOptions {
  readonly guest?: "memory" | "v86";
}

/** Adds `pageferry send`. */
export function addSendCommand(program: Command): void {
  const command = program
    .command("send")
    .description("send a memory image, or a running guest, to a waiting `pageferry receive`")
    .argument("[image]", "a memory image; where the destination has an older one, only what differs travels")
    .addOption(
      new Option("--guest <kind>", "instead of an image: a running machine, a workload on memory or a Linux").choices([
        "memory",
        "v86",
      ]),
    )
    .option("--name <name>", "what the machine is called there (default: the image's file name)")
    .addHelpText(
      "after",
      "\nExamples:\n  pageferry send guest.raw --to beta:7800 --credentials credentials/alpha" +
        "\n  pageferry send --guest memory --to 127.0.0.1:7800 --bandwidth 12.5M",
    );
  addMigrationOptions(command).action(async (image: string | undefined, options: SendOptions) => {
    const guest = await openGuest(image, options);
    try {
      await moveGuest(guest, options);
    } finally {
      await guest.release();
    }
  });
}

async function openGuest(image: string | undefined, { guest, name }: SendOptions): Promise<Guest> {
  if ((image === undefined) === (guest === undefined)) {
    throw new CommandError(ExitCode.usage, "Say what to send: either an image or --guest memory or --guest v86.");
  }
  if (image !== undefined) return new FileGuest(image, { name: name ?? basename(image) });
  if (guest === "memory") return new MemoryGuest(name === undefined ? {} : { name });
  const { emulator, shape } = await startDemoGuest({ onProgress: (line) => console.log(line) });
  return new V86Guest(emulator, { name: name ?? "linux", shape });
}
