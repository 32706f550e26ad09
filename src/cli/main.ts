#!/usr/bin/env node
import { readFileSync } from "node:fs";
import type { Command } from "commander";

/** Only the command that is asked for is loaded: loading the others takes longer than many a command runs. */
const COMMANDS: Readonly<Record<string, (program: Command) => Promise<void>>> = {
  demo: async (program) => (await import("./demo/command.js")).addDemoCommand(program),
  send: async (program) => (await import("./send.js")).addSendCommand(program),
  receive: async (program) => (await import("./receive.js")).addReceiveCommand(program),
  keygen: async (program) => (await import("./keygen.js")).addKeygenCommand(program),
  inspect: async (program) => (await import("./inspect.js")).addInspectCommand(program),
  diff: async (program) => (await import("./diff.js")).addDiffCommand(program),
  apply: async (program) => (await import("./apply.js")).addApplyCommand(program),
  squash: async (program) => (await import("./squash.js")).addSquashCommand(program),
  mount: async (program) => (await import("./mount.js")).addMountCommand(program),
  serve: async (program) => (await import("./serve/command.js")).addServeCommand(program),
  qemu: async (program) => (await import("./qemu/command.js")).addQemuCommand(program),
  bench: async (program) => (await import("./bench.js")).addBenchCommand(program),
};

const [name = "", ...words] = process.argv.slice(2);
try {
  // A mounted file is waited for, and to load what reads command lines takes as long as to mount one: where there is nothing but paths it is not needed.
  const isPlainMount = name === "mount" && words.length > 1 && words.every((word) => !word.startsWith("-"));
  if (isPlainMount) await (await import("./mounting.js")).mountUntilEnded(words);
  else await runCommand();
} catch (error) {
  const { reportFailure } = await import("./failure.js");
  reportFailure(error);
}

async function runCommand(): Promise<void> {
  const { Command } = await import("commander");
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  // Subcommands take over what is set before they are added.
  const program = new Command("pageferry")
    .description("Page-transfer engine for live migration.")
    .version(version)
    .showHelpAfterError("(add --help for what is possible)")
    .exitOverride();
  const asked = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  for (const add of asked === undefined ? Object.values(COMMANDS) : [asked]) await add(program);
  await program.parseAsync();
}
