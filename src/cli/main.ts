#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { inspectImage } from "./inspect.js";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const program = new Command("pageferry")
  .description("Page-transfer engine for live migration.")
  .version(version)
  .showHelpAfterError();

program
  .command("inspect")
  .description("count the zero, filled and duplicate pages of a memory image, and what LZ4 makes of it")
  .argument("<image>", "a memory image: the guest's RAM as it is")
  .option("--json", "print one JSON object")
  .action(async (image: string, options: { json?: true }) => {
    const summary = await inspectImage(image);
    console.log(options.json ? JSON.stringify(summary) : table(summary));
  });

function table(rows: object): string {
  return Object.entries(rows)
    .map(([name, value]) => `${name.padEnd(16)}${String(value).padStart(14)}`)
    .join("\n");
}

try {
  await program.parseAsync();
} catch (error) {
  console.error(`pageferry: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
