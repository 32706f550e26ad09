// A process with a memory guest, which it migrates to a port. Runs from dist, as every Node can.
import { MemoryGuest } from "../../../dist/guest/memory/guest.js";
import { migrate } from "../../../dist/migration/migrate.js";
import { connectTcp } from "../../../dist/transport/tcp.js";
import { say } from "./say.js";

const guest = new MemoryGuest({ memoryBytes: 8 << 20, pagesPerSecond: 50_000, seed: Number(process.argv[3]) });
const { pause, resume } = guest;
guest.pause = async () => {
  await pause.call(guest);
  say({ isRunning: false });
};
guest.resume = async () => {
  say({ isRunning: true });
  await resume.call(guest);
};
say({ isRunning: true });
const connection = await connectTcp({ host: "127.0.0.1", port: Number(process.argv[2]) });
say({ hasBegun: true });
const options = { compression: "none", downtimeLimitMs: 15, maxRounds: 8, onStall: "switch", stateMaxBytes: 4096 };
const report = await migrate(guest, connection, { ...options, timeoutMs: 3000 }).report.catch(({ report }) => report);
say({ outcome: report.outcome, runsAtEnd: guest.content.isRunning });
process.exit(0);
