import type { Command } from "commander";
import { QemuGuest } from "../../guest/qemu/guest.js";
import { addMigrationOptions, type MigrationOptions, moveGuest } from "../migrating.js";

interface QemuMigrateOptions extends MigrationOptions {
  readonly qmp: string;
}

/** Adds `pageferry qemu migrate`. */
export function addMigrateCommand(qemu: Command): void {
  const command = qemu
    .command("migrate")
    .description("move a running machine to a waiting `pageferry qemu receive`; its memory travels through pageferry")
    .requiredOption("--qmp <socket>", "the QMP socket of the QEMU that runs the machine")
    .option("--name <name>", "what the machine is called there (default: what QEMU calls it)")
    .addHelpText(
      "after",
      "\nThe machine's memory must be in shared files (memory-backend-file with share=on); what is missing is said." +
        "\n\nExample:\n  pageferry qemu migrate --qmp /run/db.qmp --to beta:7800 --credentials credentials/alpha",
    );
  addMigrationOptions(command).action(async (options: QemuMigrateOptions) => {
    const guest = await QemuGuest.open({ qmp: options.qmp, name: options.name });
    try {
      await moveGuest(guest, options);
    } finally {
      await guest.close();
    }
  });
}
