import { GuestError } from "../errors.js";
import type { Guest, Machine, ScanThreads } from "../guest.js";
import type { QmpAddress } from "./address.js";
import { AllocatedPages } from "./allocated.js";
import { cancelDeviceState, DeviceStateSocket, prepareForDeviceState } from "./device-state.js";
import { QmpError } from "./errors.js";
import { Guardian } from "./guardian.js";
import { describeMachine, machineTypeOf, nameOf, PAGE_BYTES, runStateOf } from "./machine.js";
import { QmpClient } from "./qmp.js";
import { findRamFiles, Ram } from "./ram.js";
import { RamScanThreads } from "./scan-threads.js";

/** Options of {@link QemuGuest.open}. */
export interface QemuGuestOptions {
  /** The QMP socket of the QEMU that runs the machine. */
  readonly qmp: QmpAddress;
  /** Default: what QEMU calls it, else "qemu". */
  readonly name?: string | undefined;
  /** The most bytes of CPU and device state. Default 64 MiB. */
  readonly stateMaxBytes?: number;
}

const STATE_MAX_BYTES: number = 64 << 20;
/** What a machine is that has left its QEMU. */
const GONE = "postmigrate";

/**
 * A running machine of QEMU, all of whose memory is in shared files. Its memory is read from there; QEMU itself saves CPUs and devices, and
 * stops the machine and lets it go on.
 */
export class QemuGuest implements Guest {
  readonly machine: Machine;
  readonly #qmp: QmpClient;
  readonly #ram: Ram;
  readonly #allocated: AllocatedPages;
  readonly #guardian: Guardian;
  readonly #putBack: () => Promise<void>;
  readonly #isRunning: boolean;
  readonly #stateMaxBytes: number;
  #scanThreads: RamScanThreads | undefined;
  #stateSocket: DeviceStateSocket | undefined;
  #isClosed = false;

  private constructor(
    qmp: QmpClient,
    ram: Ram,
    machine: Machine,
    guardian: Guardian,
    putBack: () => Promise<void>,
    stateMaxBytes: number,
  ) {
    this.machine = machine;
    this.#putBack = putBack;
    this.#qmp = qmp;
    this.#ram = ram;
    this.#allocated = new AllocatedPages(ram);
    this.#guardian = guardian;
    this.#isRunning = machine.configuration["isRunning"] === true;
    this.#stateMaxBytes = stateMaxBytes;
  }

  /**
   * Takes hold of a machine. A machine that stands still is moved too, and stands still at the destination. Throws `machine-unfit` where it cannot
   * be moved so, and says what is missing, and {@link QmpError}.
   */
  static async open({ qmp: address, name, stateMaxBytes = STATE_MAX_BYTES }: QemuGuestOptions): Promise<QemuGuest> {
    const qmp = await QmpClient.connect(address);
    try {
      const { isRunning, status } = await runStateOf(qmp);
      if (status === GONE || status === "inmigrate") {
        throw new GuestError("machine-unfit", `The machine is ${status}: it does not run in this QEMU.`);
      }
      const putBack = await prepareForDeviceState(qmp);
      const files = await findRamFiles(qmp);
      const machineName = name ?? (await nameOf(qmp)) ?? "qemu";
      const machine = describeMachine(machineName, await machineTypeOf(qmp), files, isRunning);
      const ram = Ram.open(files, PAGE_BYTES, "read");
      return new QemuGuest(qmp, ram, machine, new Guardian(address), putBack, stateMaxBytes);
    } catch (error) {
      await qmp.close();
      throw error;
    }
  }

  readPages(firstPage: number, into: Uint8Array): void {
    this.#ram.readPages(firstPage, into);
  }

  async startScanThreads(seed: string, windowPages: number): Promise<ScanThreads> {
    await this.#scanThreads?.close();
    this.#scanThreads = await RamScanThreads.start(this.#ram, seed, windowPages);
    return this.#scanThreads;
  }

  markAllocatedPages(bitmap: Uint8Array): void {
    this.#allocated.mark(bitmap);
  }

  async pause(): Promise<void> {
    this.#stateSocket ??= await DeviceStateSocket.open(this.#stateMaxBytes);
    if (!this.#isRunning) return;
    this.#guardian.order = "resume";
    await this.#qmp.execute("stop");
  }

  async resume(): Promise<void> {
    await cancelDeviceState(this.#qmp);
    if (this.#isRunning) await this.#qmp.execute("cont");
    this.#guardian.order = "nothing";
  }

  handOver(): void {
    this.#guardian.order = "doubt";
  }

  async saveState(): Promise<Uint8Array> {
    const socket = this.#stateSocket ?? (await DeviceStateSocket.open(this.#stateMaxBytes));
    this.#stateSocket = undefined;
    return await socket.save(this.#qmp);
  }

  /** Ends the QEMU, whose machine runs elsewhere; after a migration that failed use {@link close}. */
  async release(): Promise<void> {
    if (this.#isClosed) return;
    try {
      await this.#qmp.execute("quit");
    } catch (error) {
      // It may end before it has answered.
      if (!(error instanceof QmpError && error.code === "closed")) throw error;
    }
    await this.#letGo();
  }

  /** Lets go of the machine, which stays as it is. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    // Where QEMU is gone, nothing is to be put back.
    await this.#putBack().catch(() => {});
    await this.#letGo();
  }

  async #letGo(): Promise<void> {
    this.#isClosed = true;
    this.#stateSocket?.close();
    this.#guardian.end();
    await this.#scanThreads?.close();
    this.#ram.close();
    await this.#qmp.close();
  }
}
