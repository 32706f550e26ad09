import { writeSync } from "node:fs";

/** Tells the test what has happened, at once: what was said is not lost when the process is killed. The clock is the same in all processes. */
export function say(event) {
  writeSync(1, `${JSON.stringify({ atMs: Number(process.hrtime.bigint()) / 1e6, ...event })}\n`);
}

// Where the test has gone, its processes go too.
process.stdin.on("close", () => process.exit(1)).resume();
