import { isIPv4 } from "node:net";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Connection } from "../transport/connection.js";
import { readCredentials } from "../transport/credentials.js";
import { limitBandwidth } from "../transport/limit.js";
import { connectTcp, type Listener, listenTcp } from "../transport/tcp.js";
import { connectTls, listenTls } from "../transport/tls.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import { parseBytes } from "./units.js";

/** A place on the network. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Options of every command that uses the network. */
export interface NetworkOptions {
  readonly credentials?: string;
  readonly insecure?: true;
}

/** Adds `--credentials` and `--insecure`. */
export function addNetworkOptions(command: Command): Command {
  return command
    .option(
      "--credentials <folder>",
      "this host's key and certificates, as `pageferry keygen` makes them: mutual TLS 1.3",
    )
    .option("--insecure", "beyond this machine without encryption and without knowing who is there");
}

/** Connects with TLS where there are credentials, else without on loopback or where that was asked for. */
export async function connect(
  address: Address,
  options: NetworkOptions & { readonly serverName?: string; readonly bandwidth?: number },
): Promise<Connection> {
  const connection = await open(address, options);
  const { bandwidth } = options;
  return bandwidth === undefined ? connection : limitBandwidth(connection, { bytesPerSecond: bandwidth });
}

async function open(address: Address, options: NetworkOptions & { readonly serverName?: string }): Promise<Connection> {
  const { credentials, serverName } = options;
  if (credentials === undefined) {
    checkInsecure(address, options);
    return await connectTcp(address);
  }
  return await connectTls({
    ...address,
    credentials: await readCredentials(credentials),
    ...(serverName !== undefined && { serverName }),
  });
}

/** Listens, in the same way. */
export async function listen(
  address: Address,
  options: NetworkOptions,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  if (options.credentials === undefined) {
    checkInsecure(address, options);
    return await listenTcp(address, onConnection);
  }
  return await listenTls({ ...address, credentials: await readCredentials(options.credentials) }, onConnection);
}

/** Reads `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT`; the host is this machine where it is missing. */
export function parseAddress(text: string): Address {
  const match = /^(?:(\[[0-9a-f:.]+\]|[^:[\]]*):)?(\d+)$/i.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65535)
    throw new InvalidArgumentError("It must be HOST:PORT, with IPv6 as [ADDRESS]:PORT.");
  return { host: (match[1] ?? "").replace(/^\[|\]$/g, "") || "127.0.0.1", port };
}

/** Reads a number of bytes for an option. */
export function parseByteOption(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined || bytes === 0) throw new InvalidArgumentError("It must be bytes, such as 300M or 4GiB.");
  return bytes;
}

/** Reads a positive number for an option. */
export function parsePositive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
}

/** `--compression`. */
export function compressionOption(): Option {
  return new Option(
    "--compression <codec>",
    "what compresses the pages; auto: what finishes soonest on the measured link",
  )
    .choices(["auto", "none", "lz4", "zstd"])
    .default("auto");
}

function checkInsecure({ host }: Address, { insecure }: NetworkOptions): void {
  if (insecure || isLoopback(host)) return;
  throw new CommandError(
    ExitCode.usage,
    `${host} is beyond this machine, and without --credentials the memory would travel readable by all and from anybody. ` +
      "Make credentials with `pageferry keygen`, or say --insecure on a network that is protected otherwise.",
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}
