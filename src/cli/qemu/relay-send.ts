import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { Compression } from "../../page/compression/compressor.js";
import { addressText } from "../../relay/address.js";
import { RelayError } from "../../relay/errors.js";
import type { RelayReport } from "../../relay/report.js";
import { type RelaySession, relaySend } from "../../relay/sender.js";
import { CommandError, ExitCode } from "../exit-codes.js";
import {
  type Address,
  addNetworkOptions,
  compressionOption,
  connect,
  type NetworkOptions,
  parseAddress,
  parseByteOption,
} from "../network.js";
import { addRelayingOptions, printReport, type RelayingOptions, relaying } from "./relaying.js";

interface RelaySendCommandOptions extends NetworkOptions, RelayingOptions {
  readonly to: Address;
  readonly serverName?: string;
  readonly share?: readonly (readonly string[])[];
  readonly compression: Compression;
  readonly bandwidth?: number;
}

/** A relay at the other end that has gone is looked for so often. */
const RETRY_MS = 1000;

/** Adds `pageferry qemu relay-send`. */
export function addRelaySendCommand(qemu: Command): void {
  const command = qemu
    .command("relay-send")
    .description("carry what QEMUs here migrate to a waiting `pageferry qemu relay-receive`")
    .requiredOption("--to <host:port>", "the destination's relay", parseAddress)
    .option("--server-name <name>", "the name in the destination's certificate (default: its host)")
    .option(
      "--share <names>",
      "machines, as NAME,NAME, whose equal pages travel once; only for machines of one owner, as often as there are owners",
      (text: string, groups: readonly (readonly string[])[] | undefined) => [...(groups ?? []), text.split(",")],
    )
    .addOption(compressionOption())
    .option("--bandwidth <bytes>", "send at most so much a second, such as 12.5M", parseByteOption)
    .addHelpText(
      "after",
      "\nThen let QEMU migrate to a machine's address, as often as wanted: migrate tcp:127.0.0.1:4444" +
        "\n\nExample:\n  pageferry qemu relay-send --to beta:7801 --machine db=127.0.0.1:4444 --credentials credentials/alpha",
    );
  addNetworkOptions(addRelayingOptions(command)).action(async (options: RelaySendCommandOptions) => {
    await relaying(carry(options));
  });
}

/** Carries until a signal or, with `--once`, the first stream's end. A session that is lost is followed by another one. */
async function carry(options: RelaySendCommandOptions): Promise<void> {
  const stop = new AbortController();
  const cancel = (): void => stop.abort(new CommandError(ExitCode.cancelled, "Stopped."));
  process.once("SIGINT", cancel);
  process.once("SIGTERM", cancel);
  try {
    let session = await open(options, stop);
    for (;;) {
      await ended(session, stop.signal);
      session = await reopen(options, stop);
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    if (stop.signal.reason instanceof CommandError) throw stop.signal.reason;
  } finally {
    process.off("SIGINT", cancel);
    process.off("SIGTERM", cancel);
  }
}

async function open(options: RelaySendCommandOptions, stop: AbortController): Promise<RelaySession> {
  const { to, machine, share, cache, compression } = options;
  const connection = await connect(to, options);
  const session = await relaySend({
    connection,
    machines: machine.map(({ name, address }) => ({ name, listen: address })),
    ...(share !== undefined && { share }),
    ...(cache !== undefined && { cacheBytes: cache }),
    compression,
    onEvent: (event) => {
      if (event.event === "closed") finish(event.report, options, stop);
    },
  });
  for (const [index, address] of session.addresses.entries()) {
    console.log(`Carrying ${machine[index]?.name} from ${addressText(address)} to ${to.host}:${to.port}.`);
  }
  return session;
}

function finish(report: RelayReport, { json, once }: RelayingOptions, stop: AbortController): void {
  printReport(report, json === true);
  if (!once || stop.signal.aborted) return;
  // What ended the one stream that was to be carried is not told twice.
  const { error } = report;
  stop.abort(error === undefined ? "carried" : new CommandError(ExitCode.failed, error.message));
}

/** Until the session is lost, which is told; throws where the command shall end. */
async function ended(session: RelaySession, signal: AbortSignal): Promise<void> {
  const stopped = new Promise<void>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    await Promise.race([session.ended, stopped]);
    console.error("pageferry: The other relay has ended the session.");
  } catch (error) {
    if (signal.aborted) await session.close();
    signal.throwIfAborted();
    console.error(`pageferry: ${(error as Error).message}`);
  }
}

async function reopen(options: RelaySendCommandOptions, stop: AbortController): Promise<RelaySession> {
  for (;;) {
    await sleep(RETRY_MS, undefined, { signal: stop.signal });
    try {
      return await open(options, stop);
    } catch (error) {
      // Waiting helps against a relay that is not there, and against nothing else.
      if (error instanceof RelayError && error.code !== "connection-lost" && error.code !== "timeout") throw error;
    }
  }
}
