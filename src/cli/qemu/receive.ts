import { type Command, InvalidArgumentError } from "commander";
import { GuestError } from "../../guest/errors.js";
import { fuseUnavailable } from "../../guest/fuse/mounting.js";
import type { LazyFile } from "../../guest/lazy/underlying.js";
import { parseSize, privateBackends } from "../../guest/qemu/backends.js";
import { QemuHost } from "../../guest/qemu/host.js";
import { Destination } from "../../migration/destination.js";
import { CommandError, ExitCode } from "../exit-codes.js";
import {
  addNetworkOptions,
  addSalvageOptions,
  parseAddress,
  parseByteOption,
  patienceOf,
  timeoutMsOf,
} from "../network.js";
import {
  arrivalSentence,
  describeArrival,
  type ReceivingOptions,
  serveDestination,
  tellRunning,
} from "../receiving.js";

interface QemuReceiveOptions extends ReceivingOptions {
  readonly qmp?: string;
  readonly ram?: readonly LazyFile[];
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
      "--ram <file=size...>",
      "with --qmp: memory files that are served to a QEMU which is started afterwards with share=off, so that the machine can run before its memory is there; for one machine",
      parseRam,
    )
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
        "\n  pageferry qemu receive -- qemu-system-x86_64 -machine q35,memory-backend=mem0 …" +
        "\n\nWhere the command line's memory backends have share=off, the machine can run before its memory is there. That needs root and /dev/fuse.",
    );
  addSalvageOptions(addNetworkOptions(command)).action(async (words: string[], options: QemuReceiveOptions) => {
    await receive(words, options);
  });
}

async function receive(commandLine: readonly string[], options: QemuReceiveOptions): Promise<void> {
  const { qmp, ram, peer: peers, memoryLimit = Number.MAX_SAFE_INTEGER, json } = options;
  if ((qmp === undefined) === (commandLine.length === 0)) {
    const message = "Say where the machine shall run: either --qmp SOCKET or, behind --, QEMU's command line.";
    throw new CommandError(ExitCode.usage, message);
  }
  if (ram !== undefined && qmp === undefined) {
    const message = "--ram goes with --qmp: of QEMU's command line the memory files are known.";
    throw new CommandError(ExitCode.usage, message);
  }
  checkServable(commandLine);
  const served = qmp === undefined || ram === undefined ? undefined : await serve(qmp, ram);
  let isTaken = false;
  const host = (): QemuHost => {
    isTaken = true;
    return served ?? new QemuHost(qmp === undefined ? { commandLine } : { qmp });
  };
  const destination = new Destination({
    authorise: ({ peer }) => {
      if (destination.arriving > 1) return "Another machine is on its way here already.";
      if (peers === undefined || (peer !== undefined && peers.includes(peer.name))) return true;
      return `${peer?.name ?? "Somebody unknown"} may not bring a machine here.`;
    },
    host,
    memoryLimitBytes: memoryLimit,
    timeoutMs: timeoutMsOf(options),
    lostAfterMs: patienceOf(options),
    onRunning: tellRunning,
  });
  try {
    await receiveMachines(destination, served === undefined ? options : { ...options, once: true }, json);
  } finally {
    // A QEMU that has been taken goes with its machine.
    if (!isTaken) await served?.discard();
  }
}

/** Before anybody comes, rather than when a machine does. Throws `lazy-unavailable`. */
function checkServable(commandLine: readonly string[]): void {
  const [backend] = privateBackends(commandLine);
  const reason = backend === undefined ? undefined : fuseUnavailable();
  if (reason === undefined) return;
  const advice = `The memory backend ${backend?.name} has no share=on. With it, all of the memory comes before the machine runs, and nothing is to be served.`;
  throw new GuestError("lazy-unavailable", `${reason} ${advice}`);
}

async function serve(qmp: string, ram: readonly LazyFile[]): Promise<QemuHost> {
  const host = await QemuHost.serve({ qmp, ram });
  const files = ram.map(({ path }) => path).join(", ");
  console.log(
    `Memory is served at ${files}. Start QEMU with it as mem-path, share=off, -qmp unix:${qmp},server=on,wait=off and -incoming defer.`,
  );
  return host;
}

async function receiveMachines(destination: Destination, options: ReceivingOptions, json?: true): Promise<void> {
  await serveDestination(destination, options, (arrival) => {
    const { qmpPath, pid } = arrival.host as QemuHost;
    const where = qmpPath === undefined ? {} : { qmp: qmpPath, pid };
    if (json) console.log(JSON.stringify({ ...describeArrival(arrival), ...where }));
    else console.log(arrivalSentence(arrival) + (qmpPath === undefined ? "" : ` Its QMP socket is ${qmpPath}.`));
    return true;
  });
}

function parseRam(text: string, before: readonly LazyFile[] = []): readonly LazyFile[] {
  const at = text.lastIndexOf("=");
  const [path, byteLength] = [text.slice(0, at), parseSize(text.slice(at + 1))];
  if (at > 0 && byteLength !== undefined) return [...before, { path, byteLength }];
  throw new InvalidArgumentError("Expected a file and its size as QEMU has it, such as /dev/shm/db=512M.");
}
