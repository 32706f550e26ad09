import { access, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startDemoGuest, V86Guest } from "pageferry/node";
import { defaultCacheFolder } from "../src/guest/debian/cache.js";

const MEMORY_BYTES = 256 << 20;
const WARM_UP_MS = 10_000;
const APART_MS = 1000;
const WAIT_MS = 120_000;
/** Text and noise that stay as they are, as the page cache of a larger system would hold. */
const FILL = "cat /proc/kallsyms > /tmp/symbols; gzip -c /tmp/symbols > /tmp/symbols.gz; echo filled";
const WORKLOADS = ["pf-counter", "pf-scatter 1500 100"];
/** To be raised when the images change their meaning. */
const FORMAT = 2;

/** What the images are, for people. */
export const IMAGES_NAME: string = `${MEMORY_BYTES >> 20} MiB of a Linux that counts and updates 1,500 small files`;

/** Paths of two images of a Linux guest's memory at work, a second apart. They are made at the first call, which takes a minute, and kept. */
export async function linuxImages(): Promise<{ readonly before: string; readonly after: string }> {
  const folder = join(defaultCacheFolder("v86"), `memory-images-${FORMAT}`);
  const paths = { before: join(folder, "before.raw"), after: join(folder, "after.raw") };
  // The second is written last.
  const isThere = await access(paths.after).then(
    () => true,
    () => false,
  );
  if (isThere) return paths;
  await mkdir(folder, { recursive: true });
  const [before, after] = await takeImages();
  await writeImage(paths.before, before);
  await writeImage(paths.after, after);
  return paths;
}

async function takeImages(): Promise<[Uint8Array, Uint8Array]> {
  const options = { memoryBytes: MEMORY_BYTES, onProgress: (line: string) => console.error(line) };
  const { emulator, shape, commands: serial } = await startDemoGuest(options);
  const guest = new V86Guest(emulator, { name: "linux", shape });
  serial.writeLine(FILL);
  await serial.waitFor(/filled\r?\n/, WAIT_MS);
  for (const command of WORKLOADS) serial.writeLine(`${command} &`);
  await delay(WARM_UP_MS);
  const images: [Uint8Array, Uint8Array] = [new Uint8Array(MEMORY_BYTES), new Uint8Array(MEMORY_BYTES)];
  await guest.pause();
  guest.readPages(0, images[0]);
  await guest.resume();
  await delay(APART_MS);
  await guest.pause();
  guest.readPages(0, images[1]);
  await guest.release();
  return images;
}

async function writeImage(path: string, image: Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, image);
  await rename(`${path}.new`, path);
}
