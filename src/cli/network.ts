import { isIPv4 } from "node:net";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Connection } from "../transport/connection.js";
import { readCredentials } from "../transport/credentials.js";
import { limitBandwidth } from "../transport/limit.js";
import { resumableConnect } from "../transport/resumable.js";
import { ResumableAcceptor } from "../transport/resumable-acceptor.js";
import type { ResumableOptions, ResumableState } from "../transport/resumable-options.js";
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
  /** How long a lost link is tried to be resumed, in s. */
  readonly reconnectFor: number;
}

/** What a migration waits for a silent peer beyond the time in which a lost link may come back. */
const PATIENCE_MS = 30_000;
/** Three weeks; timers do not wait for much longer. */
const MAX_SECONDS = 1_814_400;

/** Options of every command that may be one end of a machine which runs before its memory is there. */
export interface SalvageOptions {
  /** How long such a machine waits for a lost link, in s. */
  readonly lostAfter?: number;
  /** The folder for what is left of one that is lost. */
  readonly salvage: string;
}

/** Adds `--lost-after` and `--salvage`. */
export function addSalvageOptions(command: Command): Command {
  return command
    .option(
      "--lost-after <seconds>",
      "when a machine whose memory follows it is given up as lost, where the link is (default: never)",
      parseSeconds,
    )
    .option("--salvage <folder>", "where what is left of a lost machine is written", ".");
}

/** How long a machine waits for its memory, in ms. */
export function patienceOf({ lostAfter }: Pick<SalvageOptions, "lostAfter">): number {
  return lostAfter === undefined ? Number.POSITIVE_INFINITY : lostAfter * 1000;
}

/** Adds `--credentials`, `--insecure` and `--reconnect-for`. */
export function addNetworkOptions(command: Command): Command {
  return command
    .option(
      "--credentials <folder>",
      "this host's key and certificates, as `pageferry keygen` makes them: mutual TLS 1.3",
    )
    .option("--insecure", "beyond this machine without encryption and without knowing who is there")
    .option("--reconnect-for <seconds>", "how long to try where the link is lost, before giving up", parseSeconds, 30);
}

/** How long a migration is to bear silence: longer than the link may be away. */
export function timeoutMsOf({ reconnectFor }: Pick<NetworkOptions, "reconnectFor">): number {
  return reconnectFor * 1000 + PATIENCE_MS;
}

/** Options of {@link connect}. */
export interface ConnectOptions extends ReachOptions {
  readonly serverName?: string;
  readonly bandwidth?: number;
}

/** How links are opened, and how long lost ones are waited for. */
export interface ReachOptions extends NetworkOptions, Partial<SalvageOptions> {
  /** Whether a machine runs at the destination whose memory follows it over this connection. */
  readonly isFollowed?: () => boolean;
}

/** Connects with TLS where there are credentials, else without on loopback or where that was asked for; and again where the link is lost. */
export async function connect(address: Address, options: ConnectOptions): Promise<Connection> {
  const { bandwidth } = options;
  const dial = async (): Promise<Connection> => {
    const inner = await open(address, options);
    return bandwidth === undefined ? inner : limitBandwidth(inner, { bytesPerSecond: bandwidth });
  };
  return await resumableConnect(dial, resumableOptionsOf(options));
}

async function open(address: Address, { credentials, insecure, serverName }: ConnectOptions): Promise<Connection> {
  if (credentials === undefined) {
    checkInsecure(address, insecure);
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
  options: ReachOptions,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  const { credentials, insecure } = options;
  const acceptor = new ResumableAcceptor(resumableOptionsOf(options), onConnection);
  const accept = (inner: Connection): void => acceptor.accept(inner);
  if (credentials === undefined) checkInsecure(address, insecure);
  const listener =
    credentials === undefined
      ? await listenTcp(address, accept)
      : await listenTls({ ...address, credentials: await readCredentials(credentials) }, accept);
  return {
    port: listener.port,
    async close() {
      await listener.close();
      acceptor.close();
    },
  };
}

function resumableOptionsOf({ reconnectFor, lostAfter, isFollowed }: ReachOptions): ResumableOptions {
  const patienceSeconds = (): number => (isFollowed?.() ? (lostAfter ?? Number.POSITIVE_INFINITY) : reconnectFor);
  return {
    giveUpMs: () => patienceSeconds() * 1000,
    onStateChange: (state, reason, { peer }) => {
      const line = stateLine(state, reason, peer === undefined ? "the other side" : peer.name, patienceSeconds());
      if (line !== undefined) console.error(`pageferry: ${line}`);
    },
  };
}

/** An end is told by whoever used the connection. */
function stateLine(
  state: ResumableState,
  reason: Error | undefined,
  peer: string,
  seconds: number,
): string | undefined {
  if (state === "connected") return `The link to ${peer} is back.`;
  if (state === "ended") return undefined;
  const howLong = seconds === Number.POSITIVE_INFINITY ? "until it is back" : `for ${seconds} s to get it back`;
  return `The link to ${peer} is lost; trying ${howLong}. (${reason?.message})`;
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

/** Reads a positive number of seconds that a timer can wait for. */
export function parseSeconds(text: string): number {
  const seconds = parsePositive(text);
  if (seconds > MAX_SECONDS) throw new InvalidArgumentError(`It must be at most ${MAX_SECONDS} seconds.`);
  return seconds;
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

function checkInsecure({ host }: Address, insecure: true | undefined): void {
  if (insecure || isLoopback(host)) return;
  throw new CommandError(
    ExitCode.usage,
    `${host} is beyond this machine, and without --credentials the memory would travel readable by all and from anybody. ` +
      "Make credentials with `pageferry keygen`, or say --insecure on a network that is protected otherwise.",
  );
}

/** Whether a host is this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}
