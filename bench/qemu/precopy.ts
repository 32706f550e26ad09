import type { QmpEvent } from "pageferry/qemu";
import type { LabMachine } from "../../test/lab/machine.js";
import { freePort } from "../../test/lab/port.js";
import { isSameRam } from "../../test/lab/ram.js";
import { GIVE_UP_MS, type Method, type Move, type MoveFigures } from "./move.js";

const CACHE_BYTES = 512 << 20;
/** Whether an event says that a migration is over, well or not. */
export const hasEnded = ({ data }: QmpEvent): boolean =>
  ["completed", "failed", "cancelled"].includes(String(data["status"]));

/** QEMU's own pre-copy, over TCP. */
export function qemuPrecopy(name: string, capabilities: readonly string[]): Method {
  return {
    name,
    // The machine stands still when it has arrived, so that its memory can be compared.
    extraArguments: ["-S"],
    async move(move) {
      const port = await freePort();
      return await migrateByQemu(
        move,
        `tcp:127.0.0.1:${port}`,
        `tcp:127.0.0.1:${await move.linkTo(port)}`,
        capabilities,
      );
    },
  };
}

/** Has QEMU migrate; the destination listens at one URI, the source is told another one. */
export async function migrateByQemu(
  { source, destination, link }: Move,
  listenUri: string,
  sourceUri: string,
  capabilities: readonly string[],
): Promise<MoveFigures> {
  const [from, to] = [source.qmp, destination.qmp];
  for (const qmp of [from, to]) await setCapabilities(qmp, ["events", ...capabilities]);
  const parameters = { "max-bandwidth": 0, "xbzrle-cache-size": CACHE_BYTES };
  await from.execute("migrate-set-parameters", parameters);
  await to.execute("migrate-incoming", { uri: listenUri });
  const stopped = from.nextEvent("STOP", undefined, { timeoutMs: 10 * GIVE_UP_MS });
  const arrived = to.nextEvent("MIGRATION", hasEnded, { timeoutMs: 10 * GIVE_UP_MS });
  const ended = from.nextEvent("MIGRATION", hasEnded, { timeoutMs: GIVE_UP_MS }).catch(() => undefined);
  const startMs = Date.now();
  await from.execute("migrate", { uri: sourceUri });
  const end = await ended;
  const linkBytes = link()?.bytes ?? 0;
  const { ram } = await from.execute<{ ram: { transferred: number; "dirty-sync-count": number } }>("query-migrate");
  const counted = { linkBytes: linkBytes || ram.transferred, rounds: ram["dirty-sync-count"] };
  if (end === undefined) {
    return { hasConverged: false, totalMs: GIVE_UP_MS, downtimeMs: undefined, isEqual: undefined, ...counted };
  }
  if (end.data["status"] !== "completed") throw new Error(`QEMU's migration ${String(end.data["status"])}.`);
  const arrival = await arrived;
  if (arrival.data["status"] !== "completed") throw new Error("The machine did not arrive.");
  const isEqual = await isSameRam(source, destination);
  await to.execute("cont");
  return {
    hasConverged: true,
    totalMs: arrival.timeMs - startMs,
    downtimeMs: arrival.timeMs - (await stopped).timeMs,
    isEqual,
    ...counted,
    linkBytes: link()?.bytes ?? counted.linkBytes,
  };
}

/** Switches capabilities of QEMU's migration on. */
export async function setCapabilities(qmp: LabMachine["qmp"], names: readonly string[]): Promise<void> {
  const capabilities = names.map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities });
}
