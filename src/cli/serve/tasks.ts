import type { Connection } from "../../transport/connection.js";
import { TransportError } from "../../transport/errors.js";

/** What is under way may take so long to end when the server ends; it has been told. */
const END_MS = 2000;

/** What is under way, over which connection. */
export class Tasks {
  readonly #running = new Map<Promise<void>, Connection>();

  /** `task` must not reject. */
  add(connection: Connection, task: Promise<void>): void {
    this.#running.set(task, connection);
    task.finally(() => this.#running.delete(task));
  }

  /** Waits a little for all to end, and then breaks off what has not. */
  async end(): Promise<void> {
    const all = Promise.all(this.#running.keys());
    const timer = setTimeout(() => {
      const reason = new TransportError("connection-lost", "The server has ended.");
      for (const connection of this.#running.values()) connection.abort(reason);
    }, END_MS);
    await all;
    clearTimeout(timer);
  }
}
