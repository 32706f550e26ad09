import type { LabMachine } from "../../test/lab/machine.js";
import type { Link, LinkShape } from "./link.js";

/** A machine that runs, and the place where it shall run. */
export interface Move {
  readonly source: LabMachine;
  readonly destination: LabMachine;
  readonly shape: LinkShape;
  /** For pageferry; QEMU has its own default, 300 ms. */
  readonly downtimeLimitMs: number;
  /** Opens the link that leads to a port, or gives the port itself where nothing lies between. */
  linkTo(port: number): Promise<number>;
  /** Of the link, if there is one. */
  readonly link: () => Link | undefined;
}

/** What moving it came to. */
export interface MoveFigures {
  /** False where it had not come to an end after {@link GIVE_UP_MS}. */
  readonly hasConverged: boolean;
  readonly totalMs: number;
  /** From the machine's stop at the source until it could run at the destination, by QEMU's clock. */
  readonly downtimeMs: number | undefined;
  /** As the method counts them, where no link counts for it. */
  readonly linkBytes: number;
  readonly rounds: number;
  /** Whether all memory at the destination was the source's when it could run. */
  readonly isEqual: boolean | undefined;
}

/** A way of moving. */
export interface Method {
  readonly name: string;
  /** For the destination's QEMU: whether it shall start the machine by itself. */
  readonly extraArguments: readonly string[];
  move(move: Move): Promise<MoveFigures>;
}

export const GIVE_UP_MS = 45_000;
