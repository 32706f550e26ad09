import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { Destination } from "../../migration/destination.js";
import { listenWebSocket } from "../../transport/websocket-server.js";
import { startMemory } from "../../worker/memory.js";
import { CommandError, ExitCode } from "../exit-codes.js";
import { timeoutMsOf } from "../network.js";
import { Doors } from "./doors.js";
import { Images } from "./images.js";
import { Machines } from "./machines.js";
import { addServeOptions, checkReach, type ServeOptions } from "./options.js";
import { Tasks } from "./tasks.js";
import { Telling } from "./telling.js";
import { startLinux } from "./v86.js";

const TOKEN_BYTES = 16;
const FIRST_MEMORY = { kind: "memory", memoryBytes: 64 << 20, pagesPerSecond: 1000 } as const;

/** Adds `pageferry serve`. */
export function addServeCommand(program: Command): void {
  const command = program
    .command("serve")
    .description(
      "a place for the machines of web pages, which come by WebSocket, run here, and are fetched again; and for memory images to be mounted elsewhere",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  pageferry serve" +
        "\n  pageferry serve --origin https://ferry.example --machine linux=v86 --max-machines 8" +
        "\n  pageferry serve --image db=/srv/images/db.raw",
    );
  addServeOptions(command).action(async (options: ServeOptions) => {
    checkReach(options);
    const telling = new Telling(options);
    const machines = new Machines({
      maxMachines: options.maxMachines,
      timeoutMs: timeoutMsOf(options),
      onFailed: ({ name }, reason) => telling.failed(name, reason),
    });
    try {
      await serve(options, machines, telling);
    } finally {
      await machines.close();
    }
  });
}

async function serve(options: ServeOptions, machines: Machines, telling: Telling): Promise<void> {
  for (const { name, kind } of options.machine) {
    const started =
      kind === "v86" ? startLinux(name, (line) => telling.step(line)) : startMemory({ ...FIRST_MEMORY, name });
    machines.add(await started);
  }
  const interruption = interrupted();
  const stopping = new AbortController();
  const tasks = new Tasks();
  const destination = new Destination({
    authorise: ({ machine }) => machines.refusal(machine) ?? true,
    host: ({ machine }) => machines.expect(machine),
    memoryLimitBytes: options.memoryLimit,
    timeoutMs: timeoutMsOf(options),
  });
  const images = new Images({ paths: options.image, timeoutMs: timeoutMsOf(options) });
  const doors: Doors = new Doors(
    { giveUpMs: options.reconnectFor * 1000 },
    {
      isHere: (name) => machines.has(name),
      isImage: (name) => images.has(name),
      fetch: (name, connection) => {
        const { refusal } = images;
        const sending = refusal === undefined ? images.send(name, connection) : machines.refuse(connection, refusal);
        const told = sending.then((report) => telling.fetched(report));
        tasks.add(
          connection,
          told.catch((error) => telling.failed(name, error)),
        );
      },
      arrive: (connection) => {
        const arriving = destination.receive(connection);
        const told = arriving.then((arrival) => arrival && telling.arrived(arrival));
        tasks.add(
          connection,
          told.catch((error) => telling.failed(undefined, error)),
        );
      },
      depart: (name, connection) => {
        const leaving =
          name === undefined ? machines.refuse(connection) : machines.leave(name, connection, stopping.signal);
        const told = leaving.then((report) => telling.departed(report));
        tasks.add(
          connection,
          told.catch((error) => telling.failed(name, error)),
        );
      },
    },
  );
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  const listener = await listenWebSocket(
    { ...options.listen, origins: options.origin, token, hasPath: (path) => doors.has(path) },
    (connection, { path }) => doors.accept(connection, path),
  );
  telling.listening(listener.port, token);
  await interruption;
  const lost = machines.names;
  stopping.abort();
  await listener.close();
  doors.close();
  await destination.close();
  await tasks.end();
  throw new CommandError(ExitCode.cancelled, farewell(lost));
}

/** Resolves when the person wants it to end. */
function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
}

function farewell(lost: readonly string[]): string {
  if (lost.length === 0) return "Stopped; no machine was here.";
  const machines = lost.length === 1 ? "1 machine that was here is" : `${lost.length} machines that were here are`;
  return `Stopped; ${machines} lost: ${lost.join(", ")}.`;
}
