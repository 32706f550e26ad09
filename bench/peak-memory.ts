import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { connectTcp, Destination, listenTcp, MemoryGuest, MemoryHost, migrate } from "pageferry/node";

const MIB = 1 << 20;
const GUEST_BYTES = 256 * MIB;
const CACHE_BYTES = 64 * MIB;
const LOOPBACK = "127.0.0.1";

/** What the guest and the cache were given, for people. */
export const PEAK_INPUT = `guest of ${GUEST_BYTES / MIB} MiB, all of it filled; cache of ${CACHE_BYTES / MIB} MiB; lz4, TCP`;

/** The most memory that each process of a migration ever had, less the guest's and the cache's, in MiB. */
export async function measurePeaks(): Promise<{ readonly source: number; readonly destination: number }> {
  const path = fileURLToPath(import.meta.url);
  const destination = fork(path, ["destination"]);
  const [port] = (await once(destination, "message")) as [number];
  const destinationPeak = once(destination, "message");
  const source = fork(path, ["source", String(port)]);
  const [sourceBytes] = (await once(source, "message")) as [number];
  const [destinationBytes] = (await destinationPeak) as [number];
  return {
    source: (sourceBytes - GUEST_BYTES - CACHE_BYTES) / MIB,
    destination: (destinationBytes - GUEST_BYTES) / MIB,
  };
}

async function runDestination(): Promise<void> {
  const host = new MemoryHost();
  const place = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: GUEST_BYTES });
  const { port } = await listenTcp({ host: LOOPBACK, port: 0 }, async (connection) => {
    await place.receive(connection);
    tellPeak();
  });
  process.send?.(port);
}

async function runSource(port: number): Promise<void> {
  const guest = new MemoryGuest({ memoryBytes: GUEST_BYTES, filledBytes: GUEST_BYTES });
  const connection = await connectTcp({ host: LOOPBACK, port });
  await migrate(guest, connection, { compression: "lz4", cacheBytes: CACHE_BYTES }).report;
  tellPeak();
}

function tellPeak(): void {
  process.send?.(process.resourceUsage().maxRSS * 1024, () => process.exit());
}

const [, path, role, port] = process.argv;
if (path === fileURLToPath(import.meta.url)) {
  await (role === "source" ? runSource(Number(port)) : runDestination());
}
