import type { MigrationReport } from "../migration/report.js";

/** What a worker could not do: the code of whatever failed there, `worker-failed` where the worker itself did. */
export class WorkerError extends Error {
  readonly code: string;
  /** Of a migration that did not complete. */
  readonly report: MigrationReport | undefined;

  constructor(code: string, message: string, report?: MigrationReport) {
    super(message);
    this.name = "WorkerError";
    this.code = code;
    this.report = report;
  }
}
