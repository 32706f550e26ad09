import { MigrationError } from "./errors.js";

/**
 * Where the source is. It owns the machine up to and including `paused`; from `committing` on the destination may run it. While it is `serving`, the machine
 * runs there and its memory is here.
 */
export type SourceState =
  | "setup"
  | "copying"
  | "paused"
  | "committing"
  | "in-doubt"
  | "serving"
  | "handed-over"
  | "resumed"
  | "lost";

const NEXT: Readonly<Record<SourceState, readonly SourceState[]>> = Object.freeze({
  setup: ["copying", "resumed"],
  copying: ["paused", "resumed"],
  paused: ["committing", "resumed"],
  committing: ["handed-over", "serving", "in-doubt", "resumed"],
  "in-doubt": ["handed-over", "resumed"],
  serving: ["handed-over", "in-doubt", "lost"],
  "handed-over": [],
  resumed: [],
  lost: [],
});

/** The state of a source, which changes only along the arrows of docs/protocol.md. */
export class SourceStates {
  #state: SourceState = "setup";

  get state(): SourceState {
    return this.#state;
  }

  /** Throws `protocol` where no arrow leads there. */
  enter(next: SourceState): void {
    if (!NEXT[this.#state].includes(next)) {
      throw new MigrationError("protocol", `A source cannot go from ${this.#state} to ${next}.`);
    }
    this.#state = next;
  }
}
