import { type Connection, sendSteady } from "./connection.js";

/**
 * Carries bytes both ways between two connections, which belong to the pipe from now on: as fast as the slower side takes them, and their ends,
 * each direction by itself. Resolves when both sides have closed; where one is lost or aborted, the other one is aborted with the same reason, and
 * the promise rejects with it.
 */
export async function pipeConnections(left: Connection, right: Connection): Promise<void> {
  try {
    await Promise.all([carry(left, right), carry(right, left)]);
  } catch (reason) {
    left.abort(reason as Error);
    right.abort(reason as Error);
    throw reason;
  }
}

async function carry(from: Connection, to: Connection): Promise<void> {
  for (let chunk = await from.receive(); chunk !== undefined; chunk = await from.receive()) await sendSteady(to, chunk);
  await to.close();
}
