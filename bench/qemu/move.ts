import type { LabMachine } from "../../test/lab/machine.js";
import type { LabMachineOptions } from "../../test/lab/plan.js";
import type { Link, LinkShape } from "./link.js";

/** A machine that runs, and the way from it. */
export interface Route {
  readonly source: LabMachine;
  readonly shape: LinkShape;
  /** Opens the link that leads to a port, or gives the port itself where nothing lies between. */
  linkTo(port: number): Promise<number>;
  /** Of the link, if there is one. */
  readonly link: () => Link | undefined;
}

/** A machine that runs, and the place where it shall run. */
export interface Move extends Route {
  readonly destination: LabMachine;
  /** For pageferry; QEMU has its own default, 300 ms. */
  readonly downtimeLimitMs: number;
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

/** A machine that runs at its destination, where its memory follows it. */
export interface Switched {
  readonly destination: LabMachine;
  /** When the machine stopped at the source and ran at the destination, by QEMU's clock: milliseconds since 1970. */
  readonly stoppedMs: number;
  readonly runningMs: number;
  readonly end: Promise<PostcopyFigures>;
}

/** What it came to when all of the memory was there. */
export interface PostcopyFigures {
  /** From the order until the source was not needed any more. */
  readonly totalMs: number;
  /** As the method counts them, where no link counts for it. */
  readonly linkBytes: number;
  /** How often the machine waited for pages, and how long from a touch to its page, as far as the method tells. */
  readonly faults: number;
  readonly faultMeanMs: number | undefined;
  readonly faultP99Ms: number | undefined;
}

/** Where a machine shall run before its memory is there. */
export interface PostcopyPlace {
  /** Moves the machine of the route; resolves as soon as it runs here. */
  switchOver(route: Route): Promise<Switched>;
  /** Ends all that runs here. */
  stop(): Promise<void>;
}

/** A way of moving by which the machine's memory follows it. */
export interface PostcopyMethod {
  readonly name: string;
  prepare(options: LabMachineOptions): Promise<PostcopyPlace>;
}

export const GIVE_UP_MS = 45_000;
/** After so long a post-copy, which always comes to its end, is a failure. */
export const POSTCOPY_TIMEOUT_MS = 240_000;
