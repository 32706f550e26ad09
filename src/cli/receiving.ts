import type { Arrival, RunningArrival } from "../migration/arrival.js";
import type { Destination } from "../migration/destination.js";
import type { MigrationError } from "../migration/errors.js";
import { LostArrival } from "../migration/lost.js";
import type { Connection } from "../transport/connection.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import { type Address, listen, type NetworkOptions, type SalvageOptions } from "./network.js";
import { formatBytes, formatMs } from "./units.js";

/** Options of every command that waits for machines. */
export interface ReceivingOptions extends NetworkOptions, Partial<SalvageOptions> {
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
      async (error: MigrationError) => {
        console.error(`pageferry: ${error.message} (${error.code})`);
        if (error instanceof LostArrival) await salvage(error, options);
        if (options.once) end(error);
      },
    );
  };
  const isFollowed = (): boolean => destination.following > 0;
  const listener = await listen(options.listen, { ...options, isFollowed }, serve);
  console.log(`Waiting for machines at ${options.listen.host}:${listener.port}${secrecyOf(options)}.`);
  let isWarned = false;
  const stop = (): void => {
    if (isFollowed() && !isWarned) {
      isWarned = true;
      const why = "A machine runs here whose memory is still coming: going on until it is.";
      console.error(`pageferry: ${why} Interrupt again to give the machine up as lost.`);
    } else if (isFollowed()) {
      destination.loseFollowed();
    } else {
      end(new CommandError(ExitCode.cancelled, "Stopped; nothing half-done was left behind."));
    }
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    await ended;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    await listener.close();
    await destination.close();
  }
}

async function salvage(lost: LostArrival, { salvage: folder = "." }: ReceivingOptions): Promise<void> {
  try {
    const files = await lost.salvage(folder);
    if (files.length > 0) console.error(`pageferry: What there is of its memory is in ${files.join(", ")}.`);
  } catch (error) {
    console.error(`pageferry: What there is of its memory could not be written: ${(error as Error).message}`);
  }
}

/** Tells that a machine runs before its memory is there. */
export function tellRunning({ machine }: RunningArrival, isFollowed: boolean): void {
  if (isFollowed) console.log(`${machine.name} (${machine.kind}) runs here; its memory follows.`);
}

/** An arrival as `--json` prints it. */
export function describeArrival({ machine, peer, totalTimeMs, faults, pages, receivedBytes, digest }: Arrival): object {
  return { machine, peer, totalTimeMs, faults, pages, receivedBytes, digest };
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
