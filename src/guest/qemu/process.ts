import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { printable } from "../../wire/printable.js";
import { GuestError } from "../errors.js";
import { QmpError } from "./errors.js";
import { QmpClient } from "./qmp.js";

const START_TIMEOUT_MS = 30_000;
const RETRY_MS = 20;
/** How much of what QEMU complained about is told. */
const MAX_COMPLAINT_LENGTH = 2000;

/** A QEMU that was started to take a machine. It lives on when this process ends. */
export class QemuProcess {
  readonly qmp: QmpClient;
  /** Where others can talk to it. */
  readonly qmpPath: string;
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #complaint: () => string;

  private constructor(process: ChildProcess, qmp: QmpClient, folder: string, complaint: () => string) {
    this.qmp = qmp;
    this.qmpPath = join(folder, "qmp");
    this.#process = process;
    this.#folder = folder;
    this.#complaint = complaint;
  }

  /**
   * Starts QEMU by its command line, to which `-incoming defer` and a QMP socket of its own are added; `beforeStart` hears of the socket before anything can
   * go wrong. Throws `guest-failed` with what QEMU says where it does not come up.
   */
  static async start(
    [program = "", ...parameters]: readonly string[],
    beforeStart: (qmpPath: string) => void,
  ): Promise<QemuProcess> {
    const folder = await mkdtemp(join(tmpdir(), "pageferry-qemu-"));
    const path = join(folder, "qmp");
    const defer = parameters.includes("-incoming") ? [] : ["-incoming", "defer"];
    const all = [...parameters, ...defer, "-qmp", `unix:${path},server=on,wait=off`];
    beforeStart(path);
    // Not of this process's group: an interrupt that is meant for this process is not meant for the machine.
    const child = spawn(program, all, { detached: true, stdio: ["ignore", "ignore", "pipe"] });
    let complaint = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + printable(text)).slice(-MAX_COMPLAINT_LENGTH);
    });
    const stop = new AbortController();
    const ended = new Promise<never>((_, reject) => {
      const fail = (why: string): void => {
        stop.abort();
        reject(new GuestError("guest-failed", `${program} did not come up: ${why}`));
      };
      child.once("error", ({ message }) => fail(`${message}.`));
      child.once("exit", (status, signal) => fail(complaint.trim() || `it ended with ${signal ?? status}.`));
    });
    ended.catch(() => {});
    try {
      const qmp = await Promise.race([ended, connectWhenReady(path, stop.signal)]);
      return new QemuProcess(child, qmp, folder, () => complaint.trim());
    } catch (error) {
      child.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  /** What QEMU has written to its standard error, the end of it. */
  get complaint(): string {
    return this.#complaint();
  }

  /** Lets it go on by itself. */
  async leave(): Promise<void> {
    this.#process.stderr?.destroy();
    this.#process.unref();
    await this.qmp.close();
  }

  /** Ends it; it has gone when this resolves. */
  async kill(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.kill("SIGKILL")) await once(this.#process, "exit");
    await this.qmp.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function connectWhenReady(path: string, signal: AbortSignal): Promise<QmpClient> {
  const endMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await QmpClient.connect(path);
    } catch (error) {
      const isThere = !(error instanceof QmpError && error.code === "connect-failed");
      if (isThere || signal.aborted || performance.now() > endMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
