import { LabMachine } from "../../test/lab/machine.js";
import type { LabMachineOptions } from "../../test/lab/plan.js";
import { freePort } from "../../test/lab/port.js";
import {
  POSTCOPY_TIMEOUT_MS,
  type PostcopyFigures,
  type PostcopyMethod,
  type PostcopyPlace,
  type Route,
  type Switched,
} from "./move.js";
import { hasEnded, setCapabilities } from "./precopy.js";

const TIMEOUT = { timeoutMs: POSTCOPY_TIMEOUT_MS };

/**
 * QEMU's own post-copy, over TCP: no rounds, the machine runs at the destination at once. `pacing` is the share of the link's rate at which QEMU may send, so
 * that pages that are asked for wait behind few others; without it QEMU sends as fast as it can, which is its default.
 */
export function qemuPostcopy(name: string, pacing?: number): PostcopyMethod {
  return {
    name,
    async prepare(options: LabMachineOptions): Promise<PostcopyPlace> {
      const destination = await LabMachine.start({ ...options, incoming: "defer" });
      return {
        switchOver: (route) => switchOver(route, destination, pacing),
        stop: () => destination.stop(),
      };
    },
  };
}

async function switchOver(
  { source, shape, link, linkTo }: Route,
  destination: LabMachine,
  pacing: number | undefined,
): Promise<Switched> {
  const [from, to] = [source.qmp, destination.qmp];
  await setCapabilities(from, ["events", "postcopy-ram"]);
  await setCapabilities(to, ["events", "postcopy-ram", "postcopy-blocktime"]);
  const paceBytes = pacing === undefined ? 0 : Math.round(pacing * (shape.bytesPerSecond ?? 0));
  await from.execute("migrate-set-parameters", { "max-bandwidth": paceBytes, "max-postcopy-bandwidth": paceBytes });
  const port = await freePort();
  await to.execute("migrate-incoming", { uri: `tcp:127.0.0.1:${port}` });
  const uri = `tcp:127.0.0.1:${await linkTo(port)}`;
  const stopped = from.nextEvent("STOP", undefined, TIMEOUT);
  const resumed = to.nextEvent("RESUME", undefined, TIMEOUT);
  const ended = from.nextEvent("MIGRATION", hasEnded, TIMEOUT);
  const arrived = to.nextEvent("MIGRATION", hasEnded, TIMEOUT);
  const startMs = Date.now();
  await from.execute("migrate", { uri });
  await from.execute("migrate-start-postcopy");
  const finish = async (): Promise<PostcopyFigures> => {
    const end = await ended;
    for (const { data } of [end, await arrived]) {
      if (data["status"] !== "completed") throw new Error(`QEMU's migration ${String(data["status"])}.`);
    }
    const { ram } = await from.execute<{ ram: RamFigures }>("query-migrate");
    const { "postcopy-blocktime": blockedMs } = await to.execute<BlockFigures>("query-migrate");
    const faults = ram["postcopy-requests"];
    return {
      totalMs: end.timeMs - startMs,
      linkBytes: link()?.bytes ?? ram.transferred,
      faults,
      // How long its processors stood still in all: QEMU tells of no single fault.
      faultMeanMs: blockedMs !== undefined && faults > 0 ? blockedMs / faults : undefined,
      faultP99Ms: undefined,
    };
  };
  const end = finish();
  end.catch(() => {});
  // One that fails does not resume.
  const { timeMs: runningMs } = await Promise.race([resumed, end.then(() => resumed)]);
  return { destination, stoppedMs: (await stopped).timeMs, runningMs, end };
}

interface RamFigures {
  readonly transferred: number;
  readonly "postcopy-requests": number;
}

interface BlockFigures {
  readonly "postcopy-blocktime"?: number;
}
