import type { Command } from "commander";
import { QemuHost, type QemuHostOptions } from "../../guest/qemu/host.js";
import { Destination } from "../../migration/destination.js";
import { CommandError, ExitCode } from "../exit-codes.js";
import { addNetworkOptions, parseAddress, parseByteOption, timeoutMsOf } from "../network.js";
import { arrivalSentence, describeArrival, type ReceivingOptions, serveDestination } from "../receiving.js";

interface QemuReceiveOptions extends ReceivingOptions {
  readonly qmp?: string;
  readonly peer?: readonly string[];
  readonly memoryLimit?: number;
  readonly json?: true;
}

/** Adds `pageferry qemu receive`. */
export function addReceiveCommand(qemu: Command): void {
  const command = qemu
    .command("receive")
    .description("wait for a machine that `pageferry qemu migrate` moves, and let it run in a QEMU here")
    .argument(
      "[command...]",
      "behind --: the QEMU to start when the machine comes, with the machine's own command line",
    )
    .option("--qmp <socket>", "instead of a command: the QMP socket of a QEMU that waits, started with -incoming defer")
    .option(
      "--listen <host:port>",
      "where to wait; without a host on this machine only",
      parseAddress,
      parseAddress("127.0.0.1:7800"),
    )
    .option("--peer <name...>", "who may bring it: names in certificates (default: everybody who may connect)")
    .option("--memory-limit <bytes>", "the most memory of the machine (default: no limit)", parseByteOption)
    .option("--once", "end after the first machine, also where it did not arrive")
    .option("--json", "print the arrival as one JSON object, on the last line")
    .addHelpText(
      "after",
      "\nExamples:\n  pageferry qemu receive --qmp /run/db.qmp --listen 0.0.0.0:7800 --credentials credentials/beta --peer alpha" +
        "\n  pageferry qemu receive -- qemu-system-x86_64 -machine q35,memory-backend=mem0 …",
    );
  addNetworkOptions(command).action(async (words: string[], options: QemuReceiveOptions) => {
    await receive(words, options);
  });
}

async function receive(commandLine: readonly string[], options: QemuReceiveOptions): Promise<void> {
  const { qmp, peer: peers, memoryLimit = Number.MAX_SAFE_INTEGER, json } = options;
  if ((qmp === undefined) === (commandLine.length === 0)) {
    const message = "Say where the machine shall run: either --qmp SOCKET or, behind --, QEMU's command line.";
    throw new CommandError(ExitCode.usage, message);
  }
  const hostOptions: QemuHostOptions = qmp === undefined ? { commandLine } : { qmp };
  const destination = new Destination({
    authorise: ({ peer }) => {
      if (destination.arriving > 1) return "Another machine is on its way here already.";
      if (peers === undefined || (peer !== undefined && peers.includes(peer.name))) return true;
      return `${peer?.name ?? "Somebody unknown"} may not bring a machine here.`;
    },
    host: () => new QemuHost(hostOptions),
    memoryLimitBytes: memoryLimit,
    timeoutMs: timeoutMsOf(options),
  });
  await serveDestination(destination, options, (arrival) => {
    const { qmpPath, pid } = arrival.host as QemuHost;
    const where = qmpPath === undefined ? {} : { qmp: qmpPath, pid };
    if (json) console.log(JSON.stringify({ ...describeArrival(arrival), ...where }));
    else console.log(arrivalSentence(arrival) + (qmpPath === undefined ? "" : ` Its QMP socket is ${qmpPath}.`));
    return true;
  });
}
