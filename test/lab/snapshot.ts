import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { sha256 } from "../../src/guest/debian/cache.js";
import type { QmpClient } from "../../src/guest/qemu/qmp.js";
import { type LabImages, labFolder, log } from "./images.js";
import { type LabMachineOptions, machineArguments, QEMU } from "./plan.js";
import { poll, within } from "./wait.js";

/** A guest that was booted: its memory, and its processors and devices. */
export interface KeptGuest {
  readonly ram: string;
  readonly state: string;
}

/** To be raised when what a kept guest is changes its meaning. */
const FORMAT = 1;
const PREFIX = "guest-";
/** What has a key in its name, and is of no use any more when that has changed. */
const KEYED = /^(guest|boot|programs)-/;
const MIGRATE_TIMEOUT_MS = 30_000;
const UNUSED_MS = 7 * 24 * 3600 * 1000;
const execute = promisify(execFile);

/** The guest of these options as it was when `boot` had it, which is called where none is kept yet. What nobody used for a week is thrown away. */
export async function keptGuest(
  images: LabImages,
  options: LabMachineOptions,
  boot: (keep: (qmp: QmpClient, ram: string) => Promise<void>) => Promise<void>,
): Promise<KeptGuest> {
  const { stdout: version } = await execute(QEMU, ["--version"]);
  const shape = [FORMAT, version, images.key, machineArguments(images, options), options.memoryBytes];
  const folder = join(labFolder, PREFIX + sha256(Buffer.from(JSON.stringify(shape))).slice(0, 16));
  const isKept = await access(folder).then(
    () => true,
    () => false,
  );
  const filesIn = (place: string): KeptGuest => ({ ram: join(place, "ram"), state: join(place, "state") });
  if (isKept) {
    const now = new Date();
    await utimes(folder, now, now);
    return filesIn(folder);
  }
  log(`Booting a guest (${options.workload.kind}, ${options.memoryBytes / 2 ** 20} MiB); it is kept for later`);
  await mkdir(labFolder, { recursive: true });
  await throwOldAway();
  const making = await mkdtemp(`${folder}.new-`);
  try {
    await boot(async (qmp, ram) => {
      const files = filesIn(making);
      await saveGuest(qmp, files.state);
      await execute("cp", ["--sparse=always", ram, files.ram]);
    });
    await rename(making, folder).catch((error: NodeJS.ErrnoException) => {
      // Another process was faster, and its guest is as good.
      if (!["ENOTEMPTY", "EEXIST"].includes(error.code ?? "")) throw error;
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return filesIn(folder);
}

/** Pauses the machine and saves its processors and devices to the file `state`; its RAM must be a shared file. */
export async function saveGuest(qmp: QmpClient, state: string): Promise<void> {
  await qmp.execute("stop");
  await ignoreShared(qmp, true);
  await qmp.execute("migrate", { uri: `exec:cat > ${quoted(state)}` });
  await within("The machine's state was not saved", MIGRATE_TIMEOUT_MS, new AbortController().signal, (signal) =>
    poll(async () => {
      const { status } = await qmp.execute<{ status?: string }>("query-migrate");
      if (status === "failed") throw new Error("QEMU cannot save the machine's state.");
      return status === "completed" || undefined;
    }, signal),
  );
}

/** Loads what `saveGuest` saved into a machine that was started with `-incoming defer` and the same RAM. It is paused then. */
export async function loadGuest(qmp: QmpClient, state: string): Promise<void> {
  await ignoreShared(qmp, true);
  await qmp.execute("migrate-incoming", { uri: `exec:cat ${quoted(state)}` });
  await within("The machine's state was not loaded", MIGRATE_TIMEOUT_MS, new AbortController().signal, (signal) =>
    poll(async () => {
      const { status } = await qmp.execute<{ status: string }>("query-status");
      return status !== "inmigrate" || undefined;
    }, signal),
  );
  await ignoreShared(qmp, false);
}

async function ignoreShared(qmp: QmpClient, state: boolean): Promise<void> {
  const capabilities = [{ capability: "x-ignore-shared", state }];
  await qmp.execute("migrate-set-capabilities", { capabilities });
}

async function throwOldAway(): Promise<void> {
  for (const name of await readdir(labFolder)) {
    if (!KEYED.test(name)) continue;
    const path = join(labFolder, name);
    // Another process may be at the same work.
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > UNUSED_MS) await rm(path, { recursive: true, force: true });
  }
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
