import { PageError } from "../page/errors.js";
import { TransportError } from "../transport/errors.js";
import { WireError } from "../wire/errors.js";
import { MigrationError } from "./errors.js";

/** What went wrong at a destination as the migration's own error. */
export function ofDestination(error: unknown): MigrationError {
  if (error instanceof MigrationError) return error;
  const isProtocol = error instanceof WireError || error instanceof PageError;
  const code = isProtocol ? "protocol" : error instanceof TransportError ? "connection-lost" : "host-failed";
  return new MigrationError(code, (error as Error).message, { cause: error });
}
