import { CommandError, ExitCode } from "./exit-codes.js";

/** Runs work that a SIGINT or SIGTERM stops, so that it can take away what it left half done. */
export async function untilCancelled<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const cancel = (): void => abort.abort(new CommandError(ExitCode.cancelled, "Cancelled; nothing was changed."));
  process.once("SIGINT", cancel);
  process.once("SIGTERM", cancel);
  try {
    return await work(abort.signal);
  } finally {
    process.off("SIGINT", cancel);
    process.off("SIGTERM", cancel);
  }
}
