import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { GuestError } from "../errors.js";
import type { QmpEvent } from "./message.js";
import type { QmpClient } from "./qmp.js";

/** QEMU sends or takes everything but shared RAM in a few milliseconds; a disk that must be flushed first may take longer. */
const TIMEOUT_MS = 60_000;
/** QEMU may be another user's: it may reach what is in the folder, but nobody may list it, and the socket's name is random. */
const FOLDER_MODE = 0o733;

const ended = new Set<unknown>(["completed", "failed", "cancelled"]);

const CAPABILITIES = ["x-ignore-shared", "events"];
const capabilityStates = v.array(v.object({ capability: v.string(), state: v.boolean() }));

/**
 * Has QEMU leave shared RAM out of what it sends, and tell how it goes. Gives what puts things back: a QEMU that was left so would migrate without
 * its memory. Throws `machine-unfit` where it cannot.
 */
export async function prepareForDeviceState(qmp: QmpClient): Promise<() => Promise<void>> {
  const before = v
    .parse(capabilityStates, await qmp.execute("query-migrate-capabilities"))
    .filter(({ capability }) => CAPABILITIES.includes(capability));
  const set = async (capabilities: v.InferOutput<typeof capabilityStates>): Promise<void> => {
    await qmp.execute("migrate-set-capabilities", { capabilities });
  };
  try {
    await set(CAPABILITIES.map((capability) => ({ capability, state: true })));
  } catch (cause) {
    const message = `This QEMU cannot leave its memory to others (${(cause as Error).message}): it needs version 4.1 or later.`;
    throw new GuestError("machine-unfit", message, { cause });
  }
  return () => set(before);
}

/** Where a QEMU will send its devices: made before the machine stands still. */
export class DeviceStateSocket {
  readonly #path: string;
  readonly #server: Server;
  readonly #received: Promise<Uint8Array>;
  readonly #folder: SocketFolder;

  private constructor(folder: SocketFolder, server: Server, received: Promise<Uint8Array>) {
    this.#path = folder.path;
    this.#folder = folder;
    this.#server = server;
    this.#received = received;
  }

  /** At most `maxBytes` bytes are taken. Throws `guest-failed`. */
  static async open(maxBytes: number): Promise<DeviceStateSocket> {
    const folder = await SocketFolder.make();
    const server = createServer();
    try {
      const received = receiveAll(server, folder.path, maxBytes);
      received.catch(() => {});
      await new Promise<void>((resolve, reject) => server.listen(folder.path, resolve).once("error", reject));
      await chmod(folder.path, 0o666);
      return new DeviceStateSocket(folder, server, received);
    } catch (error) {
      server.close();
      folder.remove();
      throw error;
    }
  }

  /**
   * CPUs, devices and the small memories of a machine that stands still, as QEMU's own migration stream; only once. Leaves the memory as it is. Throws
   * `guest-failed`, also where they have more bytes than may be.
   */
  async save(qmp: QmpClient): Promise<Uint8Array> {
    try {
      const end = nextEnd(qmp);
      await qmp.execute("migrate", { uri: `unix:${this.#path}` });
      const [state] = await Promise.all([this.#received, end.then((event) => checkCompleted(qmp, event))]);
      return state;
    } finally {
      this.close();
    }
  }

  close(): void {
    this.#server.close();
    this.#folder.remove();
  }
}

/** Ends a {@link DeviceStateSocket.save} that is under way; does nothing where none is. */
export async function cancelDeviceState(qmp: QmpClient): Promise<void> {
  const end = nextEnd(qmp);
  const { status } = v.parse(v.object({ status: v.optional(v.string()) }), await qmp.execute("query-migrate"));
  if (status === undefined || ended.has(status) || status === "none") return;
  await qmp.execute("migrate_cancel");
  await end;
}

/** Gives a QEMU that waits with `-incoming defer` its CPUs and devices. It stands still afterwards. Throws `state-malformed`. */
export async function loadDeviceState(qmp: QmpClient, state: Uint8Array): Promise<void> {
  const folder = await SocketFolder.make();
  let socket: Socket | undefined;
  try {
    const end = nextEnd(qmp);
    await qmp.execute("migrate-incoming", { uri: `unix:${folder.path}` });
    socket = connect(folder.path);
    // That QEMU did not take it, QEMU itself says.
    socket.on("error", () => {});
    socket.end(state);
    try {
      await checkCompleted(qmp, await end);
      await leaveIncoming(qmp);
    } catch (cause) {
      const message = `QEMU does not take the machine's devices: ${(cause as Error).message} Both sides need the same devices and CPU model.`;
      throw new GuestError("state-malformed", message, { cause });
    }
  } finally {
    socket?.destroy();
    folder.remove();
  }
}

/** The machine is loaded only when it stands still: a moment after its migration has completed. */
async function leaveIncoming(qmp: QmpClient): Promise<void> {
  for (;;) {
    const { status } = v.parse(v.object({ status: v.string() }), await qmp.execute("query-status"));
    if (status !== "inmigrate") return;
  }
}

function nextEnd(qmp: QmpClient): Promise<QmpEvent> {
  return qmp.nextEvent("MIGRATION", ({ data }) => ended.has(data["status"]), { timeoutMs: TIMEOUT_MS });
}

async function checkCompleted(qmp: QmpClient, { data }: QmpEvent): Promise<void> {
  if (data["status"] === "completed") return;
  const described = v.object({ "error-desc": v.optional(v.string()) });
  const why = v.parse(described, await qmp.execute("query-migrate"))["error-desc"] ?? `it ${data["status"]}`;
  throw new GuestError("guest-failed", `QEMU's own part of the migration ended: ${why}.`);
}

/** All that the first one who connects sends. */
function receiveAll(server: Server, path: string, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    server.once("connection", (socket: Socket) => {
      server.close();
      const chunks: Buffer[] = [];
      let byteLength = 0;
      socket.on("data", (chunk) => {
        chunks.push(chunk);
        byteLength += chunk.length;
        if (byteLength <= maxBytes) return;
        const advice = "Is all of its memory in shared files?";
        socket.destroy(new GuestError("guest-failed", `QEMU's devices have more than ${maxBytes} bytes. ${advice}`));
      });
      socket.on("error", reject);
      socket.on("end", () => resolve(Buffer.concat(chunks)));
    });
    server.once("error", (cause) => {
      reject(new GuestError("guest-failed", `Cannot listen at ${path}: ${cause.message}.`, { cause }));
    });
  });
}

/** A path for a socket that nobody else can guess. */
class SocketFolder {
  readonly path: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, randomBytes(16).toString("hex"));
  }

  static async make(): Promise<SocketFolder> {
    const folder = await mkdtemp(join(tmpdir(), "pageferry-"));
    await chmod(folder, FOLDER_MODE);
    return new SocketFolder(folder);
  }

  /** Nobody waits for it: a machine may stand still. */
  remove(): void {
    rm(this.#folder, { recursive: true, force: true }).catch(() => {});
  }
}
