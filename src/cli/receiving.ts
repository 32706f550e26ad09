import type { Arrival } from "../migration/arrival.js";
import type { Destination } from "../migration/destination.js";
import type { MigrationError } from "../migration/errors.js";
import type { Connection } from "../transport/connection.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import { type Address, listen, type NetworkOptions } from "./network.js";
import { formatBytes, formatMs } from "./units.js";

/** Options of every command that waits for machines. */
export interface ReceivingOptions extends NetworkOptions {
  readonly listen: Address;
  readonly once?: true;
}

/**
 * Listens and takes machines in, until `onArrival` says that this was the last one. With `once` the first that does not arrive ends it too, with
 * its error.
 */
export async function serveDestination(
  destination: Destination,
  options: ReceivingOptions,
  onArrival: (arrival: Arrival) => boolean,
): Promise<void> {
  let end: (error?: Error) => void = () => {};
  const ended = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  const serve = (connection: Connection): void => {
    destination.receive(connection).then(
      (arrival) => {
        if (arrival !== undefined && onArrival(arrival)) end();
      },
      (error: MigrationError) => {
        console.error(`pageferry: ${error.message} (${error.code})`);
        if (options.once) end(error);
      },
    );
  };
  const listener = await listen(options.listen, options, serve);
  console.log(`Waiting for machines at ${options.listen.host}:${listener.port}${secrecyOf(options)}.`);
  const stop = (): void => end(new CommandError(ExitCode.cancelled, "Stopped; nothing half-done was left behind."));
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    await ended;
  } finally {
    await listener.close();
    await destination.close();
  }
}

/** An arrival as `--json` prints it. */
export function describeArrival({ machine, peer, totalTimeMs, pages, receivedBytes, digest }: Arrival): object {
  return { machine, peer, totalTimeMs, pages, receivedBytes, digest };
}

/** An arrival for a person. */
export function arrivalSentence({ machine, peer, totalTimeMs, pages, receivedBytes }: Arrival): string {
  const from = peer === undefined ? "" : ` from ${peer.name}`;
  return `${machine.name} (${machine.kind}) arrived${from}: ${pages} pages in ${formatBytes(receivedBytes)}, ${formatMs(totalTimeMs)}.`;
}

function secrecyOf({ credentials, insecure }: NetworkOptions): string {
  if (credentials !== undefined) return ", with mutual TLS 1.3";
  return insecure ? ", INSECURE: without encryption, from anybody" : "";
}
