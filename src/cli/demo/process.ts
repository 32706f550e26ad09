import { Destination } from "../../migration/destination.js";
import { migrate } from "../../migration/migrate.js";
import type { Compression } from "../../page/compression/compressor.js";
import { readCredentials } from "../../transport/credentials.js";
import { connectTls, listenTls } from "../../transport/tls.js";
import { type DemoDestination, type DemoSource, openDestination, startSource } from "./machine.js";
import type { DemoNews, DemoOrder, DemoSetup } from "./messages.js";

/** One of the demo's two processes, started by the demo: each machine runs in a process of its own. */
const LOOPBACK = "127.0.0.1";
const MEMORY_LIMIT_BYTES = 512 << 20;
const role = process.argv[2] as "source" | "destination";

let setup: DemoSetup;
let source: DemoSource | undefined;
let destination: DemoDestination | undefined;

process.on("message", (order: DemoOrder) => {
  obey(order).catch((error: unknown) => tell({ news: "failed", message: (error as Error).message }));
});
process.on("uncaughtException", (error) => {
  tell({ news: "failed", message: `The ${role} failed: ${error.message}` });
  process.exitCode = 1;
  process.disconnect?.();
});
// Whoever started this process is gone: nobody needs it any more.
process.on("disconnect", () => process.exit());

async function obey(order: DemoOrder): Promise<void> {
  switch (order.order) {
    case "set-up":
      setup = order.setup;
      await (role === "source" ? setUpSource() : setUpDestination());
      break;
    case "migrate":
      await run(order.port, order.compression as Compression);
      break;
    case "prove": {
      const { first, last, contentSha256 } = await (destination as DemoDestination).prove(order.consoleRest);
      tell({ news: "proven", firstCount: first, lastCount: last, contentSha256 });
    }
  }
}

async function setUpSource(): Promise<void> {
  source = await startSource(setup.guest, (line) => tell({ news: "step", line }));
  tell({ news: "running", contentSha256: source.contentSha256 });
}

async function setUpDestination(): Promise<void> {
  const opened = await openDestination(setup.guest);
  destination = opened;
  const place = new Destination({
    host: () => opened.host,
    authorise: ({ peer }) => peer?.name === "source" || "Only the demo's source may bring a machine here.",
    memoryLimitBytes: MEMORY_LIMIT_BYTES,
  });
  const credentials = await readCredentials(setup.credentials);
  const listener = await listenTls({ host: LOOPBACK, port: 0, credentials }, async (connection) => {
    // What goes wrong is told to the source, which reports it.
    const arrival = await place.receive(connection).catch(() => undefined);
    if (arrival !== undefined) tell({ news: "arrived" });
  });
  tell({ news: "listening", port: listener.port });
}

async function run(port: number, compression: Compression): Promise<void> {
  const { guest, last } = source as DemoSource;
  const credentials = await readCredentials(setup.credentials);
  const connect = () => connectTls({ host: LOOPBACK, port, credentials, serverName: "destination" });
  const migration = migrate(guest, await connect(), { compression, reconnect: connect });
  for await (const progress of migration) tell({ news: "progress", progress });
  const report = await migration.report;
  const { count, consoleRest } = last();
  tell({ news: "migrated", report, lastCount: count, consoleRest });
}

function tell(news: DemoNews): void {
  process.send?.(news);
}
