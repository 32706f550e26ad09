import { type Command, Option } from "commander";
import { keepMachine } from "../guest/file/keep.js";
import type { Guest } from "../guest/guest.js";
import { type Migration, MigrationFailure, migrate } from "../migration/migrate.js";
import type { MigrateOptions } from "../migration/options.js";
import type { MigrationReport } from "../migration/report.js";
import { untilCancelled } from "./cancel.js";
import {
  type Address,
  addNetworkOptions,
  addSalvageOptions,
  compressionOption,
  connect,
  type NetworkOptions,
  parseAddress,
  parseByteOption,
  parsePositive,
  patienceOf,
  type SalvageOptions,
  timeoutMsOf,
} from "./network.js";
import { createProgressBar, migrationUpdate } from "./progress-bar.js";
import { reportText } from "./report-text.js";

/** Options of every command that moves a machine away. */
export interface MigrationOptions extends NetworkOptions, SalvageOptions {
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
      new Option("--strategy <strategy>", "whether memory goes before the machine or follows it: see docs/postcopy.md")
        .choices(["precopy", "stop-and-copy", "postcopy", "hybrid", "auto"])
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
  return addSalvageOptions(addNetworkOptions(command));
}

/** Moves the guest, shows how it goes and prints the report. Where it fails the guest is the caller's to let go. */
export async function moveGuest(guest: Guest, options: MigrationOptions): Promise<void> {
  try {
    const report = await untilCancelled((signal) => move(guest, options, signal));
    console.log(options.json ? JSON.stringify(report) : reportText(report));
  } catch (error) {
    if (!(error instanceof MigrationFailure)) throw error;
    if (error.state !== undefined) await salvage(guest, error.state, options);
    if (options.json) console.log(JSON.stringify(error.report));
    throw error;
  }
}

async function move(guest: Guest, options: MigrationOptions, signal: AbortSignal): Promise<MigrationReport> {
  let migration: Migration | undefined;
  // A machine that runs there without its memory is lost where this end gives up.
  const network = { ...options, isFollowed: () => migration?.state === "serving" };
  const connection = await connect(options.to, network);
  migration = migrate(guest, connection, {
    strategy: options.strategy,
    compression: options.compression,
    downtimeLimitMs: options.downtimeLimit,
    onStall: options.onStall,
    ...(options.cache !== undefined && { cacheBytes: options.cache }),
    timeoutMs: timeoutMsOf(options),
    lostAfterMs: patienceOf(options),
    signal,
    reconnect: () => connect(options.to, options),
    inDoubtTimeoutMs: options.reconnectFor * 1000,
  });
  const moving = migration;
  signal.addEventListener("abort", () => {
    if (moving.state === "serving")
      console.error("pageferry: The machine has left, and its memory follows: going on until it is there.");
  });
  return await follow(migration);
}

async function salvage(guest: Guest, state: Uint8Array, { salvage: folder }: MigrationOptions): Promise<void> {
  try {
    const files = await keepMachine(guest, state, folder);
    console.error(`pageferry: The machine as it left is in ${files.join(", ")}.`);
  } catch (error) {
    console.error(`pageferry: ${(error as Error).message}`);
  }
}

async function follow(migration: Migration): Promise<MigrationReport> {
  const bar = await createProgressBar("Sending");
  let isTold = false;
  try {
    for await (const progress of migration) {
      bar.update(migrationUpdate(progress));
      // On a terminal the bar says so.
      if (progress.phase === "serving" && !isTold && !process.stdout.isTTY)
        console.log("It runs there; its memory follows.");
      isTold ||= progress.phase === "serving";
    }
  } finally {
    bar.end();
  }
  return await migration.report;
}
