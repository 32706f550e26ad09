import { CommanderError } from "commander";
import { MigrationError } from "../migration/errors.js";
import { CommandError, ExitCode } from "./exit-codes.js";

/** Ends a command that failed: one sentence for the person, and the exit status. What commander itself found it has said already. */
export function reportFailure(error: unknown): void {
  process.exitCode = exitCodeOf(error);
  if (error instanceof CommanderError) return;
  console.error(`pageferry: ${error instanceof Error ? error.message : String(error)}`);
}

function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandError) return error.exitCode;
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  if (!(error instanceof MigrationError)) return ExitCode.failed;
  switch (error.code) {
    case "refused":
    case "memory-limit":
      return ExitCode.refused;
    case "in-doubt":
      return ExitCode.inDoubt;
    case "machine-lost":
      return ExitCode.lost;
    case "cancelled":
      return ExitCode.cancelled;
    default:
      return ExitCode.failed;
  }
}
