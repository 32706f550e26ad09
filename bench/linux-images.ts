// Makes two images of the memory of a Linux at work, a second apart: what a benchmark of a migration reads. Takes half a minute and 512 MiB.
//   node build/bench/linux-images.js [FOLDER]
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { defaultCacheFolder } from "../src/guest/v86/cache.js";
import { V86Guest } from "../src/guest/v86/guest.js";
import { startDemoGuest } from "../src/guest/v86/image.js";

const MEMORY_BYTES = 256 << 20;
const WARM_UP_MS = 10_000;
const APART_MS = 1000;
const WAIT_MS = 120_000;
/** Text and noise that stay as they are, as the page cache of a larger system would hold. */
const FILL = "cat /proc/kallsyms > /tmp/symbols; gzip -c /tmp/symbols > /tmp/symbols.gz; echo filled";
const WORKLOADS = ["pf-counter", "pf-rewrite 4", "pf-scatter 8000 100"];

const folder = process.argv[2] ?? join(defaultCacheFolder(), "images-of-memory");
const {
  emulator,
  shape,
  console: serial,
} = await startDemoGuest({ memoryBytes: MEMORY_BYTES, onProgress: console.log });
const guest = new V86Guest(emulator, { name: "linux", shape });
serial.writeLine(FILL);
await serial.waitFor(/filled\n/, WAIT_MS);
for (const command of WORKLOADS) serial.writeLine(`${command} &`);
await delay(WARM_UP_MS);

const [first, second] = [new Uint8Array(MEMORY_BYTES), new Uint8Array(MEMORY_BYTES)];
await guest.pause();
guest.readPages(0, first);
await guest.resume();
await delay(APART_MS);
await guest.pause();
guest.readPages(0, second);
await guest.release();

await mkdir(folder, { recursive: true });
for (const [name, image] of Object.entries({ "linux-a.raw": first, "linux-b.raw": second })) {
  const path = join(folder, name);
  await writeFile(`${path}.new`, image);
  await rename(`${path}.new`, path);
  console.log(path);
}
