import { GuestError } from "../errors.js";
import type { Host, Machine } from "../guest.js";
import type { QmpAddress } from "./address.js";
import { loadDeviceState, prepareForDeviceState } from "./device-state.js";
import { QmpError } from "./errors.js";
import { Guardian } from "./guardian.js";
import { matchMachine } from "./machine.js";
import { QemuProcess } from "./process.js";
import { QmpClient } from "./qmp.js";
import { Ram } from "./ram.js";

/** Where the machine shall come to run. */
export type QemuHostOptions =
  /** In a QEMU that waits, started with `-incoming defer`: its QMP socket. */
  | { readonly qmp: QmpAddress }
  /** In a QEMU that is started when the machine comes: program and parameters. It lives on when this process ends. */
  | { readonly commandLine: readonly string[] };

/** Takes a machine of QEMU into another QEMU, which must have been started alike, with RAM files of its own. */
export class QemuHost implements Host {
  readonly #options: QemuHostOptions;
  #process: QemuProcess | undefined;
  #qmp: QmpClient | undefined;
  #ram: Ram | undefined;
  #guardian: Guardian | undefined;
  #putBack: () => Promise<void> = async () => {};
  #isUntouched = false;
  #isLoaded = false;
  #shallRun = true;

  constructor(options: QemuHostOptions) {
    this.#options = options;
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

  /** Throws `machine-unfit` where the QEMU here was not started as the machine's, `guest-failed`, and {@link QmpError}. */
  async prepare(machine: Machine): Promise<void> {
    if ("commandLine" in this.#options) {
      this.#process = await QemuProcess.start(this.#options.commandLine);
      this.#qmp = this.#process.qmp;
      this.#guardian = new Guardian(this.#process.qmpPath);
      this.#guardian.order = "quit";
    } else {
      this.#qmp = await QmpClient.connect(this.#options.qmp);
      this.#guardian = new Guardian(this.#options.qmp);
    }
    const { files, isRunning } = await matchMachine(this.#qmp, machine);
    this.#putBack = await prepareForDeviceState(this.#qmp);
    this.#shallRun = isRunning;
    this.#ram = Ram.open(files, machine.pageBytes, "write");
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
    // Before it runs: nothing may end a machine that does.
    guardian.end();
    if (this.#shallRun) await qmp.execute("cont");
    // It runs: that something is still to be cleared up does not undo it.
    await this.#putBack().catch(() => {});
    ram.close();
    await (this.#process?.leave() ?? qmp.close());
  }

  /**
   * A QEMU that was started here, or that has been given a state, is ended; one that only waited goes on waiting. Throws where it may not have
   * ended.
   */
  async discard(): Promise<void> {
    this.#ram?.close();
    this.#guardian?.end();
    if (this.#process !== undefined) await this.#process.kill();
    else if (this.#isLoaded && "qmp" in this.#options) await endQemu(this.#options.qmp, this.#qmp);
    else await this.#putBack().catch(() => {});
    await this.#qmp?.close();
  }

  get #prepared(): { readonly qmp: QmpClient; readonly ram: Ram; readonly guardian: Guardian } {
    if (this.#qmp === undefined || this.#ram === undefined || this.#guardian === undefined) {
      throw new GuestError("argument", "The host has not been prepared.");
    }
    return { qmp: this.#qmp, ram: this.#ram, guardian: this.#guardian };
  }
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
