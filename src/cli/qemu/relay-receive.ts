import type { Command } from "commander";
import { addressText } from "../../relay/address.js";
import type { RelayError } from "../../relay/errors.js";
import { RelayReceiver } from "../../relay/receiver.js";
import type { Connection } from "../../transport/connection.js";
import { CommandError, ExitCode } from "../exit-codes.js";
import { type Address, addNetworkOptions, listen, type NetworkOptions, parseAddress } from "../network.js";
import { addRelayingOptions, printReport, type RelayingOptions, relaying } from "./relaying.js";

interface RelayReceiveCommandOptions extends NetworkOptions, RelayingOptions {
  readonly listen: Address;
  readonly peer?: readonly string[];
}

/** Adds `pageferry qemu relay-receive`. */
export function addRelayReceiveCommand(qemu: Command): void {
  const command = qemu
    .command("relay-receive")
    .description("deliver what `pageferry qemu relay-send` carries to QEMUs that wait here")
    .option(
      "--listen <host:port>",
      "where to wait; without a host on this machine only",
      parseAddress,
      parseAddress("127.0.0.1:7801"),
    )
    .option("--peer <name...>", "who may bring streams: names in certificates (default: everybody who may connect)")
    .addHelpText(
      "after",
      "\nThe QEMUs wait with -incoming tcp:127.0.0.1:PORT, or are told so by migrate-incoming." +
        "\n\nExample:\n  pageferry qemu relay-receive --listen 0.0.0.0:7801 --machine db=127.0.0.1:5555 \\" +
        "\n    --credentials credentials/beta --peer alpha",
    );
  addNetworkOptions(addRelayingOptions(command)).action(async (options: RelayReceiveCommandOptions) => {
    await relaying(deliver(options));
  });
}

/** Delivers until a signal or, with `--once`, the first stream's end. */
async function deliver(options: RelayReceiveCommandOptions): Promise<void> {
  const { machine, peer: peers, cache, json, once } = options;
  let end: (error?: Error) => void = () => {};
  const ended = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  const receiver = new RelayReceiver({
    machines: machine.map(({ name, address }) => ({ name, deliver: address })),
    ...(cache !== undefined && { cacheBytes: cache }),
    authorise: (peer) => {
      if (peers === undefined || (peer !== undefined && peers.includes(peer.name))) return true;
      return `${peer?.name ?? "Somebody unknown"} may not bring streams here.`;
    },
    onEvent: (event, peer) => {
      if (event.event !== "closed") return;
      const { error } = event.report;
      printReport(event.report, json === true, { peer });
      if (once) end(error === undefined ? undefined : new CommandError(ExitCode.failed, error.message));
    },
  });
  const serve = (connection: Connection): void => {
    receiver.receive(connection).catch((error: RelayError) => {
      console.error(`pageferry: ${error.message} (${error.code})`);
    });
  };
  const listener = await listen(options.listen, options, serve);
  const targets = machine.map(({ name, address }) => `${name} to ${addressText(address)}`).join(", ");
  console.log(`Waiting for relays at ${options.listen.host}:${listener.port}; delivering ${targets}.`);
  const stop = (): void => end(new CommandError(ExitCode.cancelled, "Stopped."));
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    await ended;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    await receiver.close();
    await listener.close();
  }
}
