import { type Command, Option } from "commander";
import type { Guest } from "../guest/guest.js";
import { type Migration, MigrationFailure, migrate } from "../migration/migrate.js";
import type { MigrateOptions } from "../migration/options.js";
import type { MigrationReport } from "../migration/report.js";
import { untilCancelled } from "./cancel.js";
import {
  type Address,
  addNetworkOptions,
  compressionOption,
  connect,
  type NetworkOptions,
  parseAddress,
  parseByteOption,
  parsePositive,
  timeoutMsOf,
} from "./network.js";
import { createProgressBar, migrationUpdate } from "./progress-bar.js";
import { reportText } from "./report-text.js";

/** Options of every command that moves a machine away. */
export interface MigrationOptions extends NetworkOptions {
  readonly to: Address;
  readonly serverName?: string;
  readonly name?: string;
  readonly bandwidth?: number;
  readonly strategy: MigrateOptions["strategy"];
  readonly compression: MigrateOptions["compression"];
  readonly downtimeLimit: number;
  readonly onStall: MigrateOptions["onStall"];
  readonly cache?: number;
  readonly json?: true;
}

/** Adds them. */
export function addMigrationOptions(command: Command): Command {
  command
    .requiredOption("--to <host:port>", "the destination", parseAddress)
    .option("--server-name <name>", "the name in the destination's certificate (default: its host)")
    .addOption(
      new Option("--strategy <strategy>", "copy while the machine runs, or stop it first")
        .choices(["precopy", "stop-and-copy"])
        .default("precopy"),
    )
    .addOption(compressionOption())
    .option("--downtime-limit <ms>", "how long the machine may stand still", parsePositive, 300)
    .addOption(
      new Option("--on-stall <action>", "where it does not converge: give up, or exceed the downtime limit")
        .choices(["fail", "switch"])
        .default("fail"),
    )
    .option("--bandwidth <bytes>", "send at most so much a second, such as 12.5M", parseByteOption)
    .option("--cache <bytes>", "the most memory for pages as they were sent (default: 512MiB)", parseByteOption)
    .option("--json", "print the report as one JSON object, on the last line");
  return addNetworkOptions(command);
}

/** Moves the guest, shows how it goes and prints the report. Where it fails the guest is the caller's to let go. */
export async function moveGuest(guest: Guest, options: MigrationOptions): Promise<void> {
  try {
    const report = await untilCancelled(async (signal) => {
      const connection = await connect(options.to, options);
      return await follow(
        migrate(guest, connection, {
          strategy: options.strategy,
          compression: options.compression,
          downtimeLimitMs: options.downtimeLimit,
          onStall: options.onStall,
          ...(options.cache !== undefined && { cacheBytes: options.cache }),
          timeoutMs: timeoutMsOf(options),
          signal,
          reconnect: () => connect(options.to, options),
          inDoubtTimeoutMs: options.reconnectFor * 1000,
        }),
      );
    });
    console.log(options.json ? JSON.stringify(report) : reportText(report));
  } catch (error) {
    if (options.json && error instanceof MigrationFailure) console.log(JSON.stringify(error.report));
    throw error;
  }
}

async function follow(migration: Migration): Promise<MigrationReport> {
  const bar = await createProgressBar("Sending");
  try {
    for await (const progress of migration) bar.update(migrationUpdate(progress));
  } finally {
    bar.end();
  }
  return await migration.report;
}
