import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { FaultReport, MigrationReport } from "pageferry";
import { LabMachine } from "../../test/lab/machine.js";
import type { LabPlan } from "../../test/lab/plan.js";
import { removeMachineFolder } from "../../test/lab/strays.js";
import { POSTCOPY_TIMEOUT_MS, type PostcopyMethod, type PostcopyPlace, type Route, type Switched } from "./move.js";
import { PageferryCommand } from "./pageferry-command.js";

type LazyStrategy = "postcopy" | "hybrid";

/** What `receive --json` says, as far as it is of use here. */
interface Arrived {
  readonly faults: FaultReport;
  readonly qmp: string;
}

const TIMEOUT = { timeoutMs: POSTCOPY_TIMEOUT_MS };

/** Mode A, and the machine runs at the destination before its memory is there: at once, or after rounds. */
export function lazyEngine(strategy: LazyStrategy): PostcopyMethod {
  return {
    name: `pageferry ${strategy}`,
    prepare: async (options) => new LazyPlace(strategy, await LabMachine.plan(options, "private-file")),
  };
}

/** A `pageferry qemu receive` that will start the machine's QEMU. */
class LazyPlace implements PostcopyPlace {
  readonly #strategy: LazyStrategy;
  readonly #plan: LabPlan;
  readonly #receiving: PageferryCommand;
  #migrating: PageferryCommand | undefined;
  #destination: LabMachine | undefined;
  #qmpPath: string | undefined;

  constructor(strategy: LazyStrategy, plan: LabPlan) {
    this.#strategy = strategy;
    this.#plan = plan;
    const parameters = ["--listen", "127.0.0.1:0", "--once", "--json", "--", ...plan.commandLine];
    this.#receiving = new PageferryCommand("receive", ...parameters);
  }

  async switchOver({ source, link, linkTo }: Route): Promise<Switched> {
    const stopped = source.qmp.nextEvent("STOP", undefined, TIMEOUT);
    const to = `127.0.0.1:${await linkTo(await this.#receiving.port())}`;
    const parameters = ["--qmp", source.paths.monitor, "--to", to, "--strategy", this.#strategy, "--json"];
    const migrating = new PageferryCommand("migrate", ...parameters);
    this.#migrating = migrating;
    const report = migrating.json<MigrationReport>();
    const arrival = this.#receiving.json<Arrived>();
    const end = Promise.all([report, arrival]).then(([{ totalTimeMs, transferredBytes }, { faults, qmp }]) => {
      this.#qmpPath = qmp;
      return {
        totalMs: totalTimeMs,
        linkBytes: link()?.bytes ?? transferredBytes,
        faults: faults.faults,
        faultMeanMs: faults.meanMs,
        faultP99Ms: faults.p99Ms,
      };
    });
    // A move that fails does not come so far as to be waited for below.
    const failed = end.then(() => new Promise<never>(() => {}));
    const destination = await Promise.race([LabMachine.attach(this.#plan), failed]);
    this.#destination = destination;
    const resumed = destination.qmp.nextEvent("RESUME", undefined, TIMEOUT);
    const { timeMs: runningMs } = await Promise.race([resumed, failed]);
    return { destination, stoppedMs: (await stopped).timeMs, runningMs, end };
  }

  async stop(): Promise<void> {
    await this.#migrating?.end();
    await this.#receiving.end();
    if (this.#destination === undefined) removeMachineFolder(this.#plan.paths.folder);
    else await this.#destination.stop();
    // The QEMU that was started for the machine has left its socket's folder.
    if (this.#qmpPath !== undefined) await rm(dirname(this.#qmpPath), { recursive: true, force: true });
  }
}
