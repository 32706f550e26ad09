import { basename } from "node:path";
import { type Command, Option } from "commander";
import { FileGuest } from "../guest/file/guest.js";
import type { Guest } from "../guest/guest.js";
import { MemoryGuest } from "../guest/memory/guest.js";
import { V86Guest } from "../guest/v86/guest.js";
import { startDemoGuest } from "../guest/v86/image.js";
import { type Migration, MigrationFailure, migrate } from "../migration/migrate.js";
import type { MigrateOptions } from "../migration/options.js";
import type { MigrationReport } from "../migration/report.js";
import { untilCancelled } from "./cancel.js";
import { CommandError, ExitCode } from "./exit-codes.js";
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

interface SendOptions extends NetworkOptions {
  readonly to: Address;
  readonly serverName?: string;
  readonly guest?: "memory" | "v86";
  readonly name?: string;
  readonly bandwidth?: number;
  readonly strategy: MigrateOptions["strategy"];
  readonly compression: MigrateOptions["compression"];
  readonly downtimeLimit: number;
  readonly onStall: MigrateOptions["onStall"];
  readonly cache?: number;
  readonly json?: true;
}

/** Adds `pageferry send`. */
export function addSendCommand(program: Command): void {
  const command = program
    .command("send")
    .description("send a memory image, or a running guest, to a waiting `pageferry receive`")
    .argument("[image]", "a memory image; where the destination has an older one, only what differs travels")
    .requiredOption("--to <host:port>", "the destination", parseAddress)
    .addOption(
      new Option("--guest <kind>", "instead of an image: a running machine, a workload on memory or a Linux").choices([
        "memory",
        "v86",
      ]),
    )
    .option("--name <name>", "what the machine is called there (default: the image's file name)")
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
    .option("--json", "print the report as one JSON object, on the last line")
    .addHelpText(
      "after",
      "\nExamples:\n  pageferry send guest.raw --to beta:7800 --credentials credentials/alpha" +
        "\n  pageferry send --guest memory --to 127.0.0.1:7800 --bandwidth 12.5M",
    );
  addNetworkOptions(command).action(async (image: string | undefined, options: SendOptions) => {
    await send(image, options);
  });
}

async function send(image: string | undefined, options: SendOptions): Promise<void> {
  const guest = await openGuest(image, options);
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
        }),
      );
    });
    console.log(options.json ? JSON.stringify(report) : reportText(report));
  } catch (error) {
    if (options.json && error instanceof MigrationFailure) console.log(JSON.stringify(error.report));
    throw error;
  } finally {
    await guest.release();
  }
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

async function follow(migration: Migration): Promise<MigrationReport> {
  const bar = await createProgressBar("Sending");
  try {
    for await (const progress of migration) bar.update(migrationUpdate(progress));
  } finally {
    bar.end();
  }
  return await migration.report;
}
