import { type OwnMount, unmountNow } from "./mounting.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const mounts = new Set<OwnMount>();

/** From now on the mount is taken away on every way out of this process but a kill; until {@link forgetMount}. */
export function rememberMount(mount: OwnMount): void {
  if (mounts.size === 0) {
    process.on("exit", onExit);
    for (const signal of SIGNALS) process.on(signal, onSignal);
  }
  mounts.add(mount);
}

/** It has been taken away. */
export function forgetMount(mount: OwnMount): void {
  if (!mounts.delete(mount) || mounts.size > 0) return;
  process.off("exit", onExit);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

function onExit(): void {
  let areGone = true;
  for (const mount of mounts) areGone = unmountNow(mount) && areGone;
  // A thread that waits for the device would keep the process from ending for ever.
  if (!areGone) process.kill(process.pid, "SIGKILL");
}

/** Ends the process as the signal would, unless others listen to it: then they decide. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  onExit();
  for (const mount of [...mounts]) forgetMount(mount);
  process.kill(process.pid, signal);
}
