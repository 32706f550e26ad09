import { access } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { FileHost } from "../guest/file/host.js";
import type { Host } from "../guest/guest.js";
import { MemoryHost } from "../guest/memory/host.js";
import { V86Host } from "../guest/v86/host.js";
import { createEmulator, installedVersion } from "../guest/v86/node.js";
import type { ArrivalRequest } from "../migration/arrival.js";
import { Destination } from "../migration/destination.js";
import { MigrationError } from "../migration/errors.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import {
  addNetworkOptions,
  addSalvageOptions,
  parseAddress,
  parseByteOption,
  patienceOf,
  timeoutMsOf,
} from "./network.js";
import { Policy } from "./policy.js";
import { arrivalSentence, describeArrival, type ReceivingOptions, serveDestination, tellRunning } from "./receiving.js";

interface ReceiveOptions extends ReceivingOptions {
  readonly into?: string;
  readonly policy?: string;
  readonly base?: string;
  readonly memoryLimit: number;
  readonly json?: true;
}

/** What may be the name of a file that a peer chooses. */
const FILE_NAME = /^[\p{L}\p{N}_-][\p{L}\p{N} ._-]{0,199}$/u;

/** Adds `pageferry receive`. */
export function addReceiveCommand(program: Command): void {
  const command = program
    .command("receive")
    .description("wait for machines: images are written to files, guests run here")
    .option(
      "--listen <host:port>",
      "where to wait; without a host on this machine only",
      parseAddress,
      parseAddress("127.0.0.1:7800"),
    )
    .option("--into <folder>", "take images of everybody who may connect into this folder")
    .option("--policy <file>", "who may bring which machine, of what size, into what: see docs/cli.md")
    .option("--base <image>", "an older image, of which only what differs travels (default: the file that is replaced)")
    .option("--memory-limit <bytes>", "the most memory of one machine", parseByteOption, 4 * 2 ** 30)
    .option("--once", "end after the first machine")
    .option("--json", "print a JSON object for each machine, on a line of its own")
    .addHelpText(
      "after",
      "\nExamples:\n  pageferry receive --into images --once" +
        "\n  pageferry receive --listen 0.0.0.0:7800 --credentials credentials/beta --policy policy.json",
    );
  addSalvageOptions(addNetworkOptions(command)).action(async (options: ReceiveOptions) => {
    await receive(options);
  });
}

async function receive(options: ReceiveOptions): Promise<void> {
  const policy = await policyOf(options);
  const memoryLimitBytes = Math.min(options.memoryLimit, policy.maxBytes);
  const destination = new Destination({
    authorise: (request) => {
      const decision = policy.decide(request);
      return typeof decision === "string" ? decision : checkName(request);
    },
    host: (request) => hostOf(request, policy, options.base),
    memoryLimitBytes,
    timeoutMs: timeoutMsOf(options),
    lostAfterMs: patienceOf(options),
    onRunning: tellRunning,
  });
  const running: Host[] = [];
  try {
    await serveDestination(destination, options, (arrival) => {
      console.log(options.json ? JSON.stringify(describeArrival(arrival)) : arrivalSentence(arrival));
      const isFile = arrival.machine.kind === "file";
      if (!isFile) running.push(arrival.host);
      return options.once === true && isFile;
    });
  } finally {
    // Machines that run here end with the command.
    await Promise.all(running.map((host) => host.discard()));
  }
}

async function policyOf({ policy, into, memoryLimit }: ReceiveOptions): Promise<Policy> {
  if ((policy === undefined) === (into === undefined)) {
    throw new CommandError(ExitCode.usage, "Say where machines may go: either --into FOLDER or --policy FILE.");
  }
  if (policy !== undefined) return await Policy.read(policy);
  const kinds = ["file", "memory", "v86"];
  return new Policy(
    kinds.map((kind) => ({ peer: "*", machine: "*", kind, maxBytes: memoryLimit, into: resolve(into as string) })),
  );
}

function checkName({ machine: { kind, name } }: ArrivalRequest): true | string {
  return kind !== "file" || FILE_NAME.test(name) || `${JSON.stringify(name)} is no name for a file here.`;
}

async function hostOf(request: ArrivalRequest, policy: Policy, base: string | undefined): Promise<Host> {
  const { kind, name } = request.machine;
  if (kind === "memory") return new MemoryHost();
  if (kind === "v86") {
    const create = async (shape: { memoryBytes: number; vgaMemoryBytes: number }) =>
      (await createEmulator(shape)).emulator;
    return new V86Host({ version: await installedVersion(), create });
  }
  const rule = policy.decide(request);
  if (typeof rule === "string") throw new MigrationError("refused", rule);
  const target = join(rule.into, name);
  const older = base ?? ((await exists(target)) ? target : undefined);
  return new FileHost({ path: target, overwrite: true, ...(older !== undefined && { basePath: older }) });
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
