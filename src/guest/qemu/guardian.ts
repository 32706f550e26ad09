import { type ChildProcess, spawn } from "node:child_process";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { QmpAddress } from "./address.js";

/**
 * What becomes of a machine whose mover is gone: `resume` it; `quit` its QEMU, which has not run yet; say that it is in `doubt` where it runs;
 * or `nothing`.
 */
export type GuardianOrder = "nothing" | "resume" | "quit" | "doubt";

const PROGRAM = fileURLToPath(new URL("guardian-process.js", import.meta.url));

/**
 * A small process that outlives this one: where this one is killed while it has a machine stopped, nobody else would let the machine go on.
 */
export class Guardian {
  readonly #process: ChildProcess;
  #order: GuardianOrder = "nothing";

  /** Starts it for the QEMU at that QMP socket. */
  constructor(qmp: QmpAddress) {
    // Not of this process's group: what ends this process by a key does not end it.
    this.#process = spawn(process.execPath, [PROGRAM, JSON.stringify(qmp)], {
      detached: true,
      stdio: ["pipe", "ignore", "inherit"],
    });
    this.#process.on("error", () => {});
    this.#input.on("error", () => {});
    this.#process.unref();
    (this.#input as Writable & { unref?: () => void }).unref?.();
  }

  /** What it has been told last. */
  get order(): GuardianOrder {
    return this.#order;
  }

  /** Tells it what to do where this process ends from now on: when this returns, the kernel has it. */
  set order(order: GuardianOrder) {
    this.#order = order;
    this.#input.write(`${order}\n`);
  }

  /** It is not needed any more. */
  end(): void {
    this.order = "nothing";
    this.#input.end();
  }

  get #input(): Writable {
    return this.#process.stdin as Writable;
  }
}
