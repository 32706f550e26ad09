import type { Progress } from "../../migration/progress.js";
import type { MigrationReport } from "../../migration/report.js";

/** What both processes of the demo are told first. */
export interface DemoSetup {
  readonly guest: DemoKind;
  /** The folder with the credentials of this end. */
  readonly credentials: string;
}

/** A real Linux in the emulator v86, or memory with a workload on it. */
export type DemoKind = "v86" | "memory";

/** From the demo to its two processes. */
export type DemoOrder =
  | { readonly order: "set-up"; readonly setup: DemoSetup }
  | { readonly order: "migrate"; readonly port: number; readonly compression: string }
  /** What the console of the source had begun to print when it was paused. */
  | { readonly order: "prove"; readonly consoleRest: string };

/** From the two processes to the demo. */
export type DemoNews =
  | { readonly news: "step"; readonly line: string }
  | { readonly news: "listening"; readonly port: number }
  | { readonly news: "running"; readonly contentSha256: string }
  | { readonly news: "progress"; readonly progress: Progress }
  | {
      readonly news: "migrated";
      readonly report: MigrationReport;
      readonly lastCount: number;
      readonly consoleRest: string;
    }
  | { readonly news: "arrived" }
  | { readonly news: "proven"; readonly firstCount: number; readonly lastCount: number; readonly contentSha256: string }
  | { readonly news: "failed"; readonly message: string };
