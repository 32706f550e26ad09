// A small program of a user: what test/bundlers.test.ts builds and runs.
import {
  createKernels,
  Destination,
  MachineWorker,
  MemoryGuest,
  MemoryHost,
  messagePortConnection,
  migrate,
} from "pageferry";

const MEMORY_BYTES = 4 << 20;

async function countZeroPages() {
  const { arena, scan } = await createKernels();
  const pages = arena.allocatePages(3, 4096);
  pages.bytes.fill(0).fill(1, 5000, 5001);
  return scan.zero(pages, 4096, arena.allocateBitmap(3));
}

async function move(compression) {
  const { port1, port2 } = new MessageChannel();
  const guest = new MemoryGuest({ memoryBytes: MEMORY_BYTES });
  const host = new MemoryHost();
  const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: MEMORY_BYTES });
  const arriving = destination.receive(messagePortConnection(port2));
  const { outcome } = await migrate(guest, messagePortConnection(port1), { compression }).report;
  await arriving;
  host.content.stop();
  return `${outcome}, ${host.content.wrongPages().length} wrong pages`;
}

async function moveBetweenWorkers(worker, compression) {
  const options = worker === undefined ? {} : { worker };
  const [left, right] = await Promise.all([MachineWorker.open(options), MachineWorker.open(options)]);
  const { port1, port2 } = new MessageChannel();
  await left.start({ kind: "memory", name: "machine", memoryBytes: MEMORY_BYTES, pagesPerSecond: 100 });
  const arriving = right.receive(port2, { memoryLimitBytes: MEMORY_BYTES });
  const { outcome } = await left.migrate(port1, { compression });
  await arriving;
  const states = [left.state, right.state];
  left.close();
  right.close();
  return `${outcome}, ${states}`;
}

/** What everything came to; `worker` is the way in which this bundler's users make workers. */
export async function run(worker) {
  return {
    zeroPages: await countZeroPages(),
    lz4: await move("lz4"),
    zstd: await move("zstd"),
    workersByDefault: await moveBetweenWorkers(undefined, "lz4"),
    workersByFactory: await moveBetweenWorkers(worker, "zstd"),
  };
}
