import type { SavedSnapshot, Snapshot } from "../guest/snapshot/store.js";
import type { Arrival } from "../migration/arrival.js";
import type { MigrateOptions } from "../migration/options.js";
import type { Progress } from "../migration/progress.js";
import type { MigrationReport } from "../migration/report.js";

/** Where v86 is, for a worker that runs machines of it. The addresses may be relative to the page. */
export interface V86Location {
  /** Which version it is, such as `0.5.462`: machines come and go only between equal ones. */
  readonly version: string;
  /** `libv86.mjs` of the package v86. */
  readonly scriptUrl: string;
  /** `v86.wasm` of the package v86. */
  readonly wasmUrl: string;
}

/** A machine to be started in a worker. */
export type MachineSource =
  | {
      readonly kind: "memory";
      readonly name: string;
      readonly memoryBytes: number;
      readonly pagesPerSecond: number;
    }
  | {
      /** A machine of v86, from a state that v86 has saved, all memory in it. */
      readonly kind: "v86";
      readonly name: string;
      readonly state: Uint8Array;
      readonly memoryBytes: number;
      readonly vgaMemoryBytes: number;
      /** What the machine had printed on its first serial port. */
      readonly consoleText: Uint8Array;
    };

/** How a machine in a worker is to be moved, and what the link shall be like. */
export interface WorkerMigrateOptions
  extends Partial<
    Pick<
      MigrateOptions,
      | "strategy"
      | "compression"
      | "downtimeLimitMs"
      | "maxRounds"
      | "maxTimeMs"
      | "onStall"
      | "cacheBytes"
      | "timeoutMs"
    >
  > {
  /** The most bytes a second; default: as fast as the connection takes them. */
  readonly bytesPerSecond?: number;
  /** Added to the connection's own, one way. Default: none. */
  readonly latencyMs?: number;
}

/** What is in a worker. `paused` is a machine that stands still by order; one that is moving away is `leaving` all the while. */
export type MachineState = "empty" | "arriving" | "running" | "paused" | "leaving" | "in-doubt" | "failed";

/** What a worker tells by itself. */
export type MachineNews =
  /** The machine's state has changed; `reason` is a sentence where it failed. */
  | { readonly news: "state"; readonly state: MachineState; readonly reason?: string }
  /** What the machine has printed on its first serial port (its console) since the last such news, or, when it arrived, before. */
  | { readonly news: "console"; readonly bytes: Uint8Array; readonly isPast: boolean }
  /** A line that the machine has printed on its second serial port, where the demo guest answers commands. */
  | { readonly news: "answer"; readonly line: string }
  /** Some times a second, while it runs: how fast. Undefined for machines that do not count instructions. */
  | { readonly news: "pace"; readonly instructionsPerSecond: number | undefined }
  | { readonly news: "progress"; readonly progress: Progress }
  /** Pages that travel, in their order, and the class of each (see `PageClass`), in the round of this number. */
  | {
      readonly news: "pages";
      readonly round: number;
      readonly pages: Uint32Array;
      readonly classes: Uint8Array;
    };

/** An arrival without what cannot leave the worker. */
export type WorkerArrival = Omit<Arrival, "host">;

/** What a worker can be asked to do, by name: what goes in and what comes back. */
export interface Orders {
  open: { readonly in: { readonly v86: V86Location | undefined }; readonly out: undefined };
  start: { readonly in: MachineSource; readonly out: undefined };
  type: { readonly in: { readonly port: 0 | 1; readonly text: string }; readonly out: undefined };
  pause: { readonly in: undefined; readonly out: undefined };
  resume: { readonly in: undefined; readonly out: undefined };
  migrate: {
    readonly in: { readonly port: MessagePort; readonly options: WorkerMigrateOptions };
    readonly out: MigrationReport;
  };
  cancel: { readonly in: undefined; readonly out: undefined };
  cut: { readonly in: undefined; readonly out: undefined };
  receive: {
    readonly in: { readonly port: MessagePort; readonly memoryLimitBytes: number };
    readonly out: WorkerArrival | undefined;
  };
  listSnapshots: { readonly in: undefined; readonly out: readonly Snapshot[] };
  saveSnapshot: { readonly in: undefined; readonly out: SavedSnapshot };
  restoreSnapshot: { readonly in: { readonly id: string }; readonly out: undefined };
  removeSnapshot: { readonly in: { readonly id: string }; readonly out: undefined };
  exportSnapshot: { readonly in: { readonly id: string }; readonly out: Uint8Array };
  importSnapshot: { readonly in: { readonly bytes: Uint8Array }; readonly out: string };
}

/** From the page to the worker. */
export type Order = {
  [Name in keyof Orders]: { readonly order: Name; readonly id: number; readonly in: Orders[Name]["in"] };
}[keyof Orders];

/** From the worker to the page. */
export type Word =
  | MachineNews
  | { readonly news: "done"; readonly id: number; readonly out: unknown }
  | {
      readonly news: "failed";
      readonly id: number;
      readonly code: string;
      readonly message: string;
      /** Of a migration that did not complete. */
      readonly report?: MigrationReport;
    };
