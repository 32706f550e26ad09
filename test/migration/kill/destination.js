// A process that takes one memory guest over a port that it names. Runs from dist, as every Node can.
import { MemoryHost } from "../../../dist/guest/memory/host.js";
import { Destination } from "../../../dist/migration/destination.js";
import { listenTcp } from "../../../dist/transport/tcp.js";
import { say } from "./say.js";

const host = new MemoryHost();
const { start } = host;
host.start = async () => {
  say({ isRunning: true });
  await start.call(host);
  // As long as another machine may take to start: a kill can come between the commit and its answer.
  await new Promise((resolve) => setTimeout(resolve, 10));
};
const destination = new Destination({
  host: () => host,
  authorise: () => true,
  memoryLimitBytes: 8 << 20,
  timeoutMs: 3000,
});
const listener = await listenTcp({ host: "127.0.0.1", port: 0 }, async (connection) => {
  const outcome = await destination.receive(connection).then(
    () => "arrived",
    ({ code }) => code,
  );
  host.content?.stop();
  say({ outcome, runsAtEnd: host.content !== undefined, wrongPages: host.content?.wrongPages().length ?? 0 });
  process.exit(0);
});
say({ port: listener.port });
