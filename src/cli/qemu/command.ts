import type { Command } from "commander";

/** Adds `pageferry qemu` with all of its commands; only the one that is asked for is loaded. */
export async function addQemuCommand(program: Command): Promise<void> {
  const qemu = program.command("qemu").description("move virtual machines of QEMU");
  (await import("./migrate.js")).addMigrateCommand(qemu);
  (await import("./receive.js")).addReceiveCommand(qemu);
  (await import("./relay-send.js")).addRelaySendCommand(qemu);
  (await import("./relay-receive.js")).addRelayReceiveCommand(qemu);
}
