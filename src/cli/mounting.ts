import { mountImage } from "../guest/file/mount/mount.js";
import { formatBytes } from "./units.js";

/** What `pageferry mount` does, and nothing that it does not need: of some paths the last one is where the others appear, until the user ends it. */
export async function mountUntilEnded(paths: readonly string[], mostReads?: number): Promise<void> {
  if (/^wss?:/.test(paths[0] as string)) return await (await import("./mount-remote.js")).mountRemoteImage(paths);
  const sources = paths.slice(0, -1);
  const path = paths.at(-1) as string;
  const mounted = await mountImage(sources, path, {
    mostReads,
    onNotice: (sentence) => console.error(`pageferry: ${sentence}`),
  });
  const end = ending();
  const patches = sources.length > 1 ? ` and ${sources.length - 1} patches` : "";
  console.log(`ready: ${path}, ${formatBytes(mounted.byteLength)} of ${sources[0]}${patches}`);
  try {
    await Promise.race([end, mounted.settled.then(() => end)]);
  } finally {
    await mounted.unmount().catch(leave);
  }
}

/** A mount that does not go holds the process: on its way out it is tried once more. */
async function leave(error: unknown): Promise<never> {
  const { reportFailure } = await import("./failure.js");
  reportFailure(error);
  process.exit();
}

/** Resolves when the user wants it to end. Rejects when somebody else has taken the mount away: then nothing holds the process any more. */
function ending(): Promise<void> {
  return new Promise((resolve, reject) => {
    // For good: once there is no listener, the mount itself ends the process on a signal.
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve());
    process.once("beforeExit", () => reject(new Error("The file was unmounted by somebody else.")));
  });
}
