import { join } from "node:path";
import type { Command } from "commander";
import { createCredentials, writeCredentials } from "../transport/credentials.js";
import { parsePositive } from "./network.js";

/** Adds `pageferry keygen`. */
export function addKeygenCommand(program: Command): void {
  program
    .command("keygen")
    .description("make keys and certificates, by which hosts know each other")
    .argument("<host...>", "names of all hosts, as they are connected to")
    .option("-o, --output <folder>", "where each host gets a folder of its own", "credentials")
    .option("--days <days>", "how long they are valid", parsePositive, 365)
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      "\nEach host's folder goes to that host and to nobody else. The authority's key is not kept: to add a host, make all anew." +
        "\n\nExample:\n  pageferry keygen alpha beta -o credentials",
    )
    .action(async (hosts: string[], options: { output: string; days: number; json?: true }) => {
      await writeCredentials(options.output, await createCredentials(hosts, { days: options.days }));
      const folders = hosts.map((host) => join(options.output, host));
      console.log(options.json ? JSON.stringify({ folders }) : `Made ${folders.join(", ")}`);
    });
}
