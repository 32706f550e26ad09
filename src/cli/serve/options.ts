import { type Command, InvalidArgumentError } from "commander";
import { CommandError, ExitCode } from "../exit-codes.js";
import { type Address, isLoopback, parseAddress, parseByteOption, parseSeconds } from "../network.js";

/** Options of `pageferry serve`. */
export interface ServeOptions {
  readonly listen: Address;
  readonly origin: readonly string[];
  readonly machine: readonly FirstMachine[];
  /** Files by the names under which they are fetched. */
  readonly image: ReadonlyMap<string, string>;
  readonly maxMachines: number;
  /** In bytes. */
  readonly memoryLimit: number;
  /** How long a lost link may be away, in s. */
  readonly reconnectFor: number;
  readonly insecure?: true;
  readonly json?: true;
}

/** A machine that is started with the command. */
export interface FirstMachine {
  readonly name: string;
  readonly kind: "memory" | "v86";
}

/** Where `npm run web` serves the page. */
const PAGE_ORIGINS: readonly string[] = ["http://localhost:8086", "http://127.0.0.1:8086"];

/** Adds them. */
export function addServeOptions(command: Command): Command {
  return command
    .option("--listen <host:port>", "where to wait", parseAddress, parseAddress("127.0.0.1:7900"))
    .option("--origin <url>", "a web page's origin that may connect; again for more", collectOrigin, PAGE_ORIGINS)
    .option(
      "--machine <name=kind>",
      "start a machine here, of the kind memory or v86; again for more",
      collectMachine,
      [],
    )
    .option(
      "--image <name=file>",
      "a memory image that `pageferry mount` may let appear elsewhere; again for more",
      collectImage,
      new Map(),
    )
    .option("--max-machines <count>", "the most machines at a time", parseCount, 4)
    .option("--memory-limit <bytes>", "the most memory of one machine", parseByteOption, 2 ** 30)
    .option("--reconnect-for <seconds>", "how long to wait for a lost link, before giving up", parseSeconds, 30)
    .option("--insecure", "beyond this machine without encryption: who listens in can read memory and token")
    .option("--json", "print a JSON object for each event, on a line of its own");
}

/** Throws unless the address is on this machine, or `--insecure` was said. */
export function checkReach({ listen: { host }, insecure }: ServeOptions): void {
  if (insecure || isLoopback(host)) return;
  throw new CommandError(
    ExitCode.usage,
    `${host} is beyond this machine, where memory and token would travel readable by all. Put a server that does TLS before ` +
      "pageferry on this machine, or say --insecure on a network that is protected otherwise.",
  );
}

function collectOrigin(text: string, previous: readonly string[]): readonly string[] {
  if (!URL.canParse(text) || new URL(text).origin !== text) {
    throw new InvalidArgumentError("It must be an origin, such as http://localhost:8080, without a path.");
  }
  return previous === PAGE_ORIGINS ? [text] : [...previous, text];
}

function collectMachine(text: string, previous: readonly FirstMachine[]): readonly FirstMachine[] {
  const match = /^(\P{Cc}{1,256})=(memory|v86)$/u.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be NAME=memory or NAME=v86.");
  return [...previous, { name: match[1] as string, kind: match[2] as FirstMachine["kind"] }];
}

function collectImage(text: string, previous: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const [, name, path] = /^([^=\p{Cc}]{1,256})=(.+)$/su.exec(text) ?? [];
  if (name === undefined || path === undefined) throw new InvalidArgumentError("It must be NAME=FILE.");
  return new Map([...previous, [name, path]]);
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return count;
}
