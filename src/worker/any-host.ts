import { GuestError } from "../guest/errors.js";
import type { Host, Machine } from "../guest/guest.js";
import type { ComingMachine, PresentMachine } from "./machine.js";

/** Takes in a machine of whatever kind: the host for it is chosen when it is known what comes. */
export class AnyHost implements Host {
  readonly #choose: (machine: Machine) => ComingMachine;
  #coming: ComingMachine | undefined;

  constructor(choose: (machine: Machine) => ComingMachine) {
    this.#choose = choose;
  }

  /** The machine, once it runs. */
  present(): PresentMachine {
    return this.#chosen.present();
  }

  async prepare(machine: Machine): Promise<void> {
    this.#coming = this.#choose(machine);
    await this.#coming.host.prepare(machine);
  }

  readPages(firstPage: number, into: Uint8Array): void {
    this.#chosen.host.readPages(firstPage, into);
  }

  writePages(firstPage: number, from: Uint8Array): void {
    this.#chosen.host.writePages(firstPage, from);
  }

  loadState(state: Uint8Array): Promise<void> {
    return this.#chosen.host.loadState(state);
  }

  start(): Promise<void> {
    return this.#chosen.host.start();
  }

  async discard(): Promise<void> {
    await this.#coming?.host.discard();
  }

  get #chosen(): ComingMachine {
    if (this.#coming === undefined) throw new GuestError("argument", "The host has not been prepared.");
    return this.#coming;
  }
}
