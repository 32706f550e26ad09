import { LazyImageHost } from "../guest/lazy/image-host.js";
import { Destination } from "../migration/destination.js";
import type { MigrationError } from "../migration/errors.js";
import { MAX_TIMER_MS } from "../migration/options.js";
import { resumableConnect } from "../transport/resumable.js";
import { connectWebSocket } from "../transport/websocket-server.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import { formatBytes, formatMs } from "./units.js";

const TIMEOUT_MS = 30_000;

/**
 * Lets an image at a `pageferry serve` (`ws://HOST:PORT/images/NAME#TOKEN`, or `wss://…` through a server that does TLS) appear as a file until the user
 * ends it. Its pages are fetched when they are touched, and all others in the background.
 */
export async function mountRemoteImage([address = "", file, ...more]: readonly string[]): Promise<void> {
  if (file === undefined || more.length > 0) {
    throw new CommandError(
      ExitCode.usage,
      "An image of another machine is mounted alone: its address, and where it shall appear.",
    );
  }
  const { url, token } = readAddress(address);
  const ended = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => resolve());
  });
  let isEnded = false;
  const onNotice = (sentence: string): void => console.error(`pageferry: ${sentence}`);
  const host = new LazyImageHost({ path: file, onNotice });
  const destination = new Destination({
    host: () => host,
    authorise: ({ machine }) => machine.kind === "file" || "Only memory images are wanted here.",
    memoryLimitBytes: Number.MAX_SAFE_INTEGER,
    timeoutMs: TIMEOUT_MS,
    onRunning: ({ machine }) => console.log(`ready: ${file}, ${sizeOf(machine.regions)} of ${url}`),
  });
  const connection = await resumableConnect(() => connectWebSocket(url, token === "" ? {} : { token }), {
    // Whoever reads waits meanwhile, as long as it takes.
    giveUpMs: () => (destination.following > 0 ? Number.POSITIVE_INFINITY : TIMEOUT_MS),
  });
  // Nothing else keeps this process when all is there.
  const life = setInterval(() => {}, MAX_TIMER_MS);
  try {
    const fetching = destination.receive(connection).then(
      (arrival) => {
        if (arrival === undefined) return;
        const { totalTimeMs, receivedBytes } = arrival;
        console.log(`All of it is there and verified: ${formatBytes(receivedBytes)} in ${formatMs(totalTimeMs)}.`);
      },
      (error: MigrationError) => {
        if (!isEnded) throw new CommandError(ExitCode.failed, `The image cannot be fetched: ${error.message}`);
      },
    );
    await Promise.race([ended, fetching.then(() => ended)]);
  } finally {
    isEnded = true;
    clearInterval(life);
    connection.abort(new Error("The file was unmounted."));
    await host.discard();
  }
}

function readAddress(address: string): { readonly url: string; readonly token: string } {
  const [url = "", token = ""] = address.split("#", 2);
  if (URL.canParse(url) && new URL(url).pathname.startsWith("/images/")) return { url, token };
  throw new CommandError(ExitCode.usage, "An image of another machine is ws://HOST:PORT/images/NAME#TOKEN.");
}

function sizeOf(regions: readonly { readonly byteLength: number }[]): string {
  return formatBytes(regions.reduce((sum, { byteLength }) => sum + byteLength, 0));
}
