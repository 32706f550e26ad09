import type { Compression } from "../page/compression/compressor.js";
import { DEFAULT_CACHE_BYTES } from "../page/create.js";
import type { Connection, Peer } from "../transport/connection.js";
import { RELAY_MAX_MACHINES } from "../wire/relay-messages.js";
import type { QemuAddress } from "./address.js";
import { RelayError } from "./errors.js";
import type { RelayReport } from "./report.js";

/** Something that happened to a stream. */
export type RelayEvent =
  | { readonly event: "opened"; readonly machine: string; readonly stream: number }
  | { readonly event: "closed"; readonly report: RelayReport };

/** Options of {@link relaySend}. */
export interface RelaySendOptions {
  /** To the other relay; it belongs to the session from now on. */
  readonly connection: Connection;
  /** By what names the machines go, and where their QEMUs connect: `migrate` goes there. */
  readonly machines: readonly { readonly name: string; readonly listen: QemuAddress }[];
  /**
   * Groups of machines whose equal pages travel once. Only for machines of one owner: how long a page takes, and how much, tells a machine what the
   * others hold. Default: none.
   */
  readonly share?: readonly (readonly string[])[];
  /** The most memory for pages as they were sent, of all machines together. Default 512 MiB; the other relay takes as much. */
  readonly cacheBytes?: number;
  /** Default `auto`: what finishes soonest on the measured link. */
  readonly compression?: Compression;
  readonly onEvent?: (event: RelayEvent) => void;
}

/** Options of a {@link RelayReceiver}. */
export interface RelayReceiveOptions {
  /** By what names the machines go, and where their QEMUs wait for migrations. */
  readonly machines: readonly { readonly name: string; readonly deliver: QemuAddress }[];
  /** The most memory for pages as they came, over all connections and machines. Default 512 MiB. */
  readonly cacheBytes?: number;
  /** Which relays may bring streams: true, or the reason why not. Default: all that could connect. */
  readonly authorise?: (peer: Peer | undefined) => true | string;
  readonly onEvent?: (event: RelayEvent, peer: Peer | undefined) => void;
}

/** The cache's size, and machines and groups checked. Throws `argument`. */
export function checkedCacheBytes({
  machines,
  share = [],
  cacheBytes = DEFAULT_CACHE_BYTES,
}: {
  readonly machines: readonly { readonly name: string }[];
  readonly share?: readonly (readonly string[])[];
  readonly cacheBytes?: number;
}): number {
  const names = machines.map(({ name }) => name);
  if (names.length === 0 || names.length > RELAY_MAX_MACHINES) {
    throw new RelayError("argument", `There must be 1 to ${RELAY_MAX_MACHINES} machines, not ${names.length}.`);
  }
  const bad = names.find((name, index) => !/^\P{Cc}{1,256}$/u.test(name) || names.indexOf(name) !== index);
  if (bad !== undefined)
    throw new RelayError("argument", `Two machines are called ${JSON.stringify(bad)}, or it is no name.`);
  const shared = share.flat();
  const wrong = shared.find((name, index) => !names.includes(name) || shared.indexOf(name) !== index);
  if (wrong !== undefined) {
    throw new RelayError(
      "argument",
      `${JSON.stringify(wrong)} cannot share: it is no machine here, or shares already.`,
    );
  }
  if (!Number.isSafeInteger(cacheBytes) || cacheBytes < 0) {
    throw new RelayError("argument", `cacheBytes must be a whole number of at least 0, not ${cacheBytes}.`);
  }
  return cacheBytes;
}
