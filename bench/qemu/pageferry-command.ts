import { type ChildProcess, spawn } from "node:child_process";

const COMMAND = new URL("../../../dist/cli/main.js", import.meta.url).pathname;

const END_TIMEOUT_MS = 3000;

/** A `pageferry qemu …` that runs. */
export class PageferryCommand {
  readonly #process: ChildProcess;
  readonly #ended: Promise<string>;
  #printed = "";

  constructor(...parameters: readonly string[]) {
    this.#process = spawn(process.execPath, [COMMAND, "qemu", ...parameters], { stdio: ["ignore", "pipe", "pipe"] });
    let complaint = "";
    this.#process.stderr?.on("data", (text) => {
      complaint += text;
    });
    this.#process.stdout?.on("data", (text) => {
      this.#printed += text;
    });
    this.#ended = new Promise((resolve, reject) => {
      this.#process.on("close", (status) => {
        if (status === 0) resolve(this.#printed);
        else reject(new Error(`pageferry qemu ${parameters[0]} ended with ${status}: ${complaint}`));
      });
    });
    this.#ended.catch(() => {});
  }

  /** The port that it says it waits at. */
  async port(): Promise<number> {
    for (;;) {
      const port = /:(\d+)\b/.exec(this.#printed)?.[1];
      if (port !== undefined) return Number(port);
      await Promise.race([this.#ended, new Promise((resolve) => this.#process.stdout?.once("data", resolve))]);
    }
  }

  /** Waits until it has printed something. */
  async hasPrinted(): Promise<void> {
    while (this.#printed === "") {
      await Promise.race([this.#ended, new Promise((resolve) => this.#process.stdout?.once("data", resolve))]);
    }
  }

  /** The object on the last line that it prints, once it has ended. */
  async json<Shape>(): Promise<Shape> {
    return JSON.parse((await this.#ended).trimEnd().split("\n").at(-1) as string) as Shape;
  }

  async end(): Promise<void> {
    this.#process.kill("SIGTERM");
    // One that waits for a running machine's memory stays: without it the machine would be lost.
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), END_TIMEOUT_MS);
    await this.#ended.catch(() => {});
    clearTimeout(timer);
  }
}
