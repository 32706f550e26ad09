import { type Command, InvalidArgumentError } from "commander";
import type { QemuAddress } from "../../relay/address.js";
import { RelayError, type RelayErrorCode } from "../../relay/errors.js";
import type { RelayReport } from "../../relay/report.js";
import { CommandError, ExitCode } from "../exit-codes.js";
import { parseAddress, parseByteOption } from "../network.js";
import { formatBytes, formatMs } from "../units.js";

/** A machine and where its QEMU is reached or comes to. */
export interface MachineOption {
  readonly name: string;
  readonly address: QemuAddress;
}

/** Options of both relay commands. */
export interface RelayingOptions {
  readonly machine: readonly MachineOption[];
  readonly cache?: number;
  readonly once?: true;
  readonly json?: true;
}

const EXIT_CODES: Readonly<Partial<Record<RelayErrorCode, ExitCode>>> = {
  argument: ExitCode.usage,
  refused: ExitCode.refused,
  cancelled: ExitCode.cancelled,
};

/** Adds them. */
export function addRelayingOptions(command: Command): Command {
  return command
    .requiredOption(
      "--machine <name=address>",
      "a machine, and its QEMU's HOST:PORT or unix:PATH here; as often as there are machines",
      (text: string, machines: readonly MachineOption[] | undefined) => [...(machines ?? []), parseMachine(text)],
    )
    .option("--cache <bytes>", "the most memory for pages, of all machines together (default: 512MiB)", parseByteOption)
    .option("--once", "end after the first stream")
    .option("--json", "print a JSON object for each stream, on a line of its own");
}

/** Does a command's work; an error of the relay gets the exit status that it stands for. */
export async function relaying(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (cause) {
    if (!(cause instanceof RelayError)) throw cause;
    const exitCode = EXIT_CODES[cause.code] ?? ExitCode.failed;
    throw new CommandError(exitCode, cause.message, { cause });
  }
}

/** Prints a stream's report. */
export function printReport(report: RelayReport, json: boolean, more: object = {}): void {
  console.log(json ? JSON.stringify({ ...report, ...more }) : reportSentence(report));
}

function reportSentence({ machine, outcome, error, rawBytes, sentBytes, totalTimeMs }: RelayReport): string {
  const how = outcome === "ended" ? "The stream was carried to its end" : `The stream broke off: ${error?.message}`;
  const share = rawBytes === 0 ? "" : ` in ${formatBytes(sentBytes)} (${Math.round((100 * sentBytes) / rawBytes)} %)`;
  return `${machine}: ${how.replace(/\.$/, "")}; ${formatBytes(rawBytes)}${share}, ${formatMs(totalTimeMs)}.`;
}

function parseMachine(text: string): MachineOption {
  const match = /^([^=]+)=(?:unix:(.+)|(.+))$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be NAME=HOST:PORT or NAME=unix:PATH.");
  const [, name = "", path, place = ""] = match;
  return { name, address: path === undefined ? parseAddress(place) : { path } };
}
