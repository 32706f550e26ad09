import { GuestError } from "../errors.js";
import type { Host, LazyMemory, Machine } from "../guest.js";
import { LazyRam } from "../lazy/ram.js";
import type { LazyFile } from "../lazy/underlying.js";
import type { QmpAddress } from "./address.js";
import { privateBackends } from "./backends.js";
import { loadDeviceState, prepareForDeviceState } from "./device-state.js";
import { QmpError } from "./errors.js";
import { Guardian } from "./guardian.js";
import { matchMachine, PAGE_BYTES } from "./machine.js";
import { QemuProcess } from "./process.js";
import { QmpClient } from "./qmp.js";
import { Ram, type RamFile } from "./ram.js";

/** Where the machine shall come to run. */
export type QemuHostOptions =
  /** In a QEMU that waits, started with `-incoming defer`: its QMP socket. */
  | { readonly qmp: QmpAddress }
  /**
   * In a QEMU that is started when the machine comes: program and parameters. It lives on when this process ends. Where its memory backends are not shared, the
   * machine can run before its memory is there; that needs Linux and CAP_SYS_ADMIN.
   */
  | { readonly commandLine: readonly string[] };

/** Options of {@link QemuHost.serve}. */
export interface QemuServeOptions {
  /** Where the QEMU will offer QMP. */
  readonly qmp: QmpAddress;
  /** The file and the size of each of its memory backends. */
  readonly ram: readonly LazyFile[];
}

/** What is found and survived where memory is served goes here, as a sentence: by default to stderr. */
const tellOnStderr = (sentence: string): void => console.error(`pageferry: ${sentence}`);

/** Takes a machine of QEMU into another QEMU, which must have been started alike, with RAM files of its own. */
export class QemuHost implements Host {
  readonly #options: QemuHostOptions;
  #process: QemuProcess | undefined;
  #qmp: QmpClient | undefined;
  #ram: Ram | undefined;
  #lazy: LazyRam | undefined;
  #guardian: Guardian | undefined;
  #putBack: () => Promise<void> = async () => {};
  #isUntouched = false;
  #isLoaded = false;
  #shallRun = true;

  constructor(options: QemuHostOptions) {
    this.#options = options;
  }

  /**
   * Mounts the memory files of a QEMU that somebody else starts afterwards, with `share=off` and `-incoming defer`: its machine can run before its memory is
   * there. The host takes one machine. Throws `lazy-unavailable` where files cannot be served here, before anything is touched, and `argument`.
   */
  static async serve({ qmp, ram }: QemuServeOptions): Promise<QemuHost> {
    const host = new QemuHost({ qmp });
    host.#lazy = await LazyRam.mount({ files: ram, pageBytes: PAGE_BYTES, onNotice: tellOnStderr });
    return host;
  }

  /** Where QEMU's memory is served: what lets the machine run before it is there. */
  get lazy(): LazyMemory | undefined {
    return this.#lazy;
  }

  get hasBase(): boolean {
    return !this.#isUntouched;
  }

  get isUntouched(): boolean {
    return this.#isUntouched;
  }

  /** The QMP socket of a QEMU that was started here. */
  get qmpPath(): string | undefined {
    return this.#process?.qmpPath;
  }

  /** The process of a QEMU that was started here. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /**
   * Throws `machine-unfit` where the QEMU here was not started as the machine's, `lazy-unavailable` where its memory is to be served and cannot be,
   * `guest-failed`, and {@link QmpError}.
   */
  async prepare(machine: Machine): Promise<void> {
    if ("commandLine" in this.#options) {
      const files = privateBackends(this.#options.commandLine);
      if (files.length > 0) this.#lazy = await LazyRam.mount({ files, pageBytes: PAGE_BYTES, onNotice: tellOnStderr });
      this.#process = await QemuProcess.start(this.#options.commandLine, (qmpPath) => {
        this.#guardian = new Guardian(qmpPath);
        this.#guardian.order = "quit";
      });
      this.#qmp = this.#process.qmp;
    } else {
      this.#qmp = await QmpClient.connect(this.#options.qmp);
      this.#guardian = new Guardian(this.#options.qmp);
    }
    const served = this.#lazy?.files.map(({ path }) => path) ?? [];
    const { files, isRunning } = await matchMachine(this.#qmp, machine, served);
    this.#putBack = await prepareForDeviceState(this.#qmp);
    this.#shallRun = isRunning;
    this.#lazy?.arrange(files);
    this.#ram =
      this.#lazy === undefined
        ? Ram.open(files, machine.pageBytes, "write")
        : Ram.adopt(below(files, this.#lazy), machine.pageBytes);
    if (this.#lazy !== undefined) this.#lazy.onClose = () => this.#ram?.close();
    this.#isUntouched = this.#ram.isUntouched;
  }

  readPages(firstPage: number, into: Uint8Array): void {
    this.#prepared.ram.readPages(firstPage, into);
  }

  writePages(firstPage: number, from: Uint8Array): void {
    this.#prepared.ram.writePages(firstPage, from);
  }

  /** Throws `state-malformed` where QEMU does not take it, with QEMU's words. */
  async loadState(state: Uint8Array): Promise<void> {
    this.#isLoaded = true;
    this.#prepared.guardian.order = "quit";
    try {
      await loadDeviceState(this.#prepared.qmp, state);
    } catch (error) {
      const complaint = this.#process?.complaint;
      if (!complaint) throw error;
      throw new GuestError("state-malformed", `${(error as Error).message} QEMU says: ${complaint}`, { cause: error });
    }
  }

  async start(): Promise<void> {
    const { qmp, ram, guardian } = this.#prepared;
    // Before it runs: nothing may end a machine that does, nor what serves its memory.
    await this.#lazy?.commit();
    guardian.end();
    if (this.#shallRun) await qmp.execute("cont");
    // It runs: that something is still to be cleared up does not undo it.
    await this.#putBack().catch(() => {});
    if (this.#lazy === undefined) ram.close();
    await (this.#process?.leave() ?? qmp.close());
  }

  /**
   * A QEMU that was started here, that has been given a state, or whose memory is served, is ended; one that only waited goes on waiting. Throws where it may
   * not have ended.
   */
  async discard(): Promise<void> {
    this.#ram?.close();
    this.#guardian?.end();
    if (this.#process !== undefined) await this.#process.kill();
    else if ((this.#isLoaded || this.#lazy !== undefined) && "qmp" in this.#options) {
      await endQemu(this.#options.qmp, this.#qmp);
    } else await this.#putBack().catch(() => {});
    await this.#qmp?.close();
    // Not before QEMU has ended: it would see errors where its memory was.
    await this.#lazy?.discard();
  }

  get #prepared(): { readonly qmp: QmpClient; readonly ram: Ram; readonly guardian: Guardian } {
    if (this.#qmp === undefined || this.#ram === undefined || this.#guardian === undefined) {
      throw new GuestError("argument", "The host has not been prepared.");
    }
    return { qmp: this.#qmp, ram: this.#ram, guardian: this.#guardian };
  }
}

/** The files that the machine's memory is put into, which those that QEMU maps hide. */
function below(files: readonly RamFile[], lazy: LazyRam): (RamFile & { readonly file: number })[] {
  return files.map((ram) => ({ ...ram, file: lazy.files.find(({ path }) => path === ram.path)?.file as number }));
}

/** Also where the connection to it is lost, for it may run nevertheless. */
async function endQemu(address: QmpAddress, qmp: QmpClient | undefined): Promise<void> {
  const isDone = await qmp?.execute("quit").then(
    () => true,
    () => false,
  );
  if (isDone) return;
  let again: QmpClient;
  try {
    again = await QmpClient.connect(address);
  } catch (error) {
    if (error instanceof QmpError && error.code === "connect-failed") return;
    throw error;
  }
  try {
    await again.execute("quit");
  } finally {
    await again.close();
  }
}
