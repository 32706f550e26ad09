import { type ChildProcess, execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import { QmpError } from "../../src/guest/qemu/errors.js";
import { QmpClient } from "../../src/guest/qemu/qmp.js";
import { countsIn } from "./counter.js";
import { type LabImages, labImages } from "./images.js";
import type { LabPaths } from "./paths.js";
import { type LabMachineOptions, type LabPlan, type LabRam, planMachine } from "./plan.js";
import { SerialPort } from "./serial.js";
import { keptGuest, loadGuest } from "./snapshot.js";
import { ended, killMachine, machineIn, removeMachineFolder, unmounted } from "./strays.js";
import { poll, within } from "./wait.js";

const START_TIMEOUT_MS = 30_000;
/** A first boot, with redis to be filled, on a computer that has other things to do. */
const READY_TIMEOUT_MS = 300_000;
const ANSWER_TIMEOUT_MS = 120_000;
const COUNT_TIMEOUT_MS = 60_000;
/** A booted guest has counted so far before it is kept: by then it has come to rest. */
const COUNT_WHEN_KEPT = 20;
/** How much of QEMU's and the guest's last words is told with a failure. */
const TAIL_LENGTH = 2000;
const execute = promisify(execFile);

interface Ports {
  readonly qmp: QmpClient;
  readonly console: SerialPort;
  readonly commands: SerialPort;
}

/** A QEMU with the lab's guest. Whatever becomes of the process that started it, no machine is left running. */
export class LabMachine {
  readonly qmp: QmpClient;
  readonly paths: LabPaths;
  /** Program and arguments that make a machine with the same files. */
  readonly commandLine: readonly string[];
  readonly #ports: Ports;
  readonly #ended: AbortSignal;
  /** Commands are asked one after the other. */
  #lastAnswer: Promise<unknown> = Promise.resolve();

  private constructor({ paths, commandLine }: LabPlan, ports: Ports, ended: AbortSignal) {
    this.paths = paths;
    this.commandLine = commandLine;
    this.qmp = ports.qmp;
    this.#ports = ports;
    this.#ended = ended;
  }

  /**
   * Starts a machine. Without `incoming` its guest is at work: it is booted at the first time only, and all later ones take it up where it was
   * then. Rejects with QEMU's words where QEMU does not come up.
   */
  static async start(options: LabMachineOptions): Promise<LabMachine> {
    const { incoming, ramFile = true } = options;
    const images = await imagesFor(options);
    if (incoming !== undefined) {
      const empty = await planMachine(images, options, ramFile ? "shared-file" : "memory");
      return LabMachine.#launch(empty, ["-incoming", incoming]);
    }
    const kept = await keptGuest(images, options, async (keep) => {
      const machine = await LabMachine.#launch(await planMachine(images, options, "shared-file"), []);
      try {
        await machine.waitForReady();
        await machine.waitForCount(COUNT_WHEN_KEPT);
        await keep(machine.qmp, machine.paths.ram);
      } finally {
        await machine.stop();
      }
    });
    const plan = await planMachine(images, options, ramFile ? "shared-file" : "private-file");
    await execute("cp", ["--sparse=always", kept.ram, plan.paths.ram]);
    const machine = await LabMachine.#launch(plan, ["-incoming", "defer"]);
    try {
      await loadGuest(machine.qmp, kept.state);
      await machine.qmp.execute("cont");
      return machine;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /** The command line of a machine that somebody else starts; {@link attach} takes it over. A private file may be one that fills itself. */
  static async plan(options: LabMachineOptions, ram?: LabRam): Promise<LabPlan> {
    const usual = (options.ramFile ?? true) ? "shared-file" : "memory";
    return planMachine(await imagesFor(options), options, ram ?? usual);
  }

  /** Takes over a machine that somebody else starts by the command line of its plan, as soon as it is there. */
  static async attach(plan: LabPlan): Promise<LabMachine> {
    const never = new AbortController().signal;
    return LabMachine.#open(plan, never);
  }

  static async #launch({ paths, commandLine }: LabPlan, parameters: readonly string[]): Promise<LabMachine> {
    // The machine dies with the process that started it, however that ends.
    const child = spawn("setpriv", ["--pdeathsig", "KILL", ...commandLine, ...parameters], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    try {
      return await LabMachine.#open({ paths, commandLine }, endOf(child));
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  static async #open(plan: LabPlan, ended: AbortSignal): Promise<LabMachine> {
    const { paths } = plan;
    try {
      const ports = await within("QEMU did not come up", START_TIMEOUT_MS, ended, async (signal) => ({
        console: await SerialPort.open(paths.console, signal),
        commands: await SerialPort.open(paths.commands, signal),
        qmp: await poll(() => connectQmp(paths.qmp), signal),
      }));
      return new LabMachine(plan, ports, ended);
    } catch (error) {
      removeMachineFolder(paths.folder);
      throw error;
    }
  }

  /** The file that holds the RAM. */
  get ramPath(): string {
    return this.paths.ram;
  }

  /** QEMU's process; undefined where it has ended. */
  get pid(): number | undefined {
    return machineIn(this.paths.folder);
  }

  /** All that the guest printed on this machine; `continuity` follows its counter. */
  get printed(): string {
    return this.#ports.console.text;
  }

  /** The last number that the guest counted on this machine. */
  get lastCount(): number | undefined {
    return countsIn(this.printed).at(-1);
  }

  /** Waits until the workload runs; for a machine that came from elsewhere, until it counts here. */
  async waitForReady(): Promise<void> {
    const { console } = this.#ports;
    await this.#within("The guest was not ready", READY_TIMEOUT_MS, (signal) =>
      console.waitFor(/READY\r?\n|\nCNT \d+\r?\n/, 0, signal),
    );
  }

  /** Waits until the guest has counted to `count` on this machine. */
  async waitForCount(count: number): Promise<void> {
    await this.#within(`The guest did not count to ${count}`, COUNT_TIMEOUT_MS, (signal) =>
      poll(async () => (this.lastCount ?? 0) >= count || undefined, signal),
    );
  }

  /** Waits until the guest has printed `more` further numbers on this machine; gives the last of them. */
  async countOn(more = 1): Promise<number> {
    const before = countsIn(this.printed).length;
    return this.#within("The guest did not count", COUNT_TIMEOUT_MS, (signal) =>
      poll(async () => countsIn(this.printed).at(before + more - 1), signal),
    );
  }

  /** Whether the files of the guest still are what its manifest says. */
  async verifyManifest(): Promise<boolean> {
    return (await this.#ask("verify", /^MANIFEST (ok|damaged)$/))[1] === "ok";
  }

  /** How many pages of the writer's working set were found wrong, now or at any time before; 0 is right. */
  async checkWriter(): Promise<number> {
    const [, isRight, pages] = await this.#ask("check", /^WRITER (?:(ok)|BAD) (\d+)$/);
    return isRight === "ok" ? 0 : Number(pages);
  }

  /** What the workload has done so far: pages written, redis commands, or turns of the mix. */
  async operations(): Promise<number> {
    return Number((await this.#ask("ops", /^OPS (\d+)$/))[1]);
  }

  /** Kills the machine and removes its folder. Calling it again changes nothing. */
  async stop(): Promise<void> {
    const { qmp, console, commands } = this.#ports;
    const { folder } = this.paths;
    const pid = killMachine(folder);
    await qmp.close();
    console.close();
    commands.close();
    if (pid !== undefined) await ended(pid);
    await unmounted(folder);
    removeMachineFolder(folder);
  }

  async #ask(command: string, pattern: RegExp): Promise<RegExpExecArray> {
    const asking = this.#lastAnswer.then(async () => {
      const { commands } = this.#ports;
      const start = commands.text.length;
      commands.writeLine(command);
      const answer = await this.#within(`The guest did not answer "${command}"`, ANSWER_TIMEOUT_MS, (signal) =>
        commands.waitFor(/^(.*?)\r?\n/, start, signal),
      );
      const match = pattern.exec(answer[1] as string);
      if (match === null) throw new Error(`The guest answers "${command}" with ${JSON.stringify(answer[1])}.`);
      return match;
    });
    this.#lastAnswer = asking.catch(() => {});
    return asking;
  }

  async #within<Result>(
    what: string,
    timeoutMs: number,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    try {
      return await within(what, timeoutMs, this.#ended, work);
    } catch (cause) {
      const said = JSON.stringify(this.printed.slice(-TAIL_LENGTH));
      throw new Error(`${(cause as Error).message} The guest printed last: ${said}`, { cause });
    }
  }
}

function imagesFor({ workload }: LabMachineOptions): Promise<LabImages> {
  return labImages(workload.kind === "redis");
}

/** Aborted when the process ends, with what it complained about. */
function endOf(child: ChildProcess): AbortSignal {
  const ended = new AbortController();
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-TAIL_LENGTH);
  });
  child.on("error", (error) => ended.abort(error));
  child.on("close", (status, signal) =>
    ended.abort(new Error(`QEMU ended with ${signal ?? status}: ${complaint.trim()}`)),
  );
  return ended.signal;
}

/** Undefined where QEMU is not so far, or has ended meanwhile: then its process tells why. */
async function connectQmp(path: string): Promise<QmpClient | undefined> {
  try {
    return await QmpClient.connect(path);
  } catch (error) {
    if (error instanceof QmpError && (error.code === "connect-failed" || error.code === "closed")) return undefined;
    throw error;
  }
}
