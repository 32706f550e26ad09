import { readFileSync } from "node:fs";

/** SIGKILL, in masks of signals. */
const KILLED = 1n << 8n;

/** Whether a thread has been killed, or has ended. Another signal that ends a process kills all of its threads. Layout: proc_pid_status(5). */
export function isDying(pid: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    // It may also be one that cannot be seen from here: then it is not known by a number.
    return pid !== 0;
  }
  return Array.from(status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)).some(
    ([, mask]) => (BigInt(`0x${mask}`) & KILLED) !== 0n,
  );
}
