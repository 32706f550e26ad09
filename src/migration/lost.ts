import type { Host, Machine } from "../guest/guest.js";
import { MigrationError } from "./errors.js";

/** What a destination still has of a machine whose memory will not come any more. */
export interface LostMachine {
  readonly machine: Machine;
  readonly host: Host;
  /** Whether a page never came. */
  readonly isMissing: (page: number) => boolean;
}

/** A machine ran here, and the rest of its memory will never come. */
export class LostArrival extends MigrationError {
  readonly #lost: LostMachine;

  constructor(lost: LostMachine, cause: MigrationError) {
    const message =
      `The machine ${lost.machine.name} is lost: it ran here, and the rest of its memory cannot come any more. ` +
      `The source has it as it was when it left. ${cause.message}`;
    super("machine-lost", message, { cause });
    this.name = "LostArrival";
    this.#lost = lost;
  }

  get machine(): Machine {
    return this.#lost.machine;
  }

  /** Stops the machine for good and writes what there is of its memory into a folder; returns the files. */
  async salvage(folder: string): Promise<readonly string[]> {
    const { host, isMissing } = this.#lost;
    return (await host.lazy?.salvage(folder, isMissing)) ?? [];
  }
}
