import { type ChildProcess, spawn } from "node:child_process";
import { projectFolder } from "./docs.js";

const command = `${projectFolder}dist/cli/main.js`;

/** What a run of the command came to. */
export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of stdout as JSON. */
  json(): Record<string, unknown>;
}

/** A run of `pageferry` as a user has it. */
export class RunningCommand {
  readonly process: ChildProcess;
  readonly done: Promise<CommandResult>;
  #stdout = "";
  #stderr = "";
  readonly #listeners = new Set<() => void>();

  constructor(parameters: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    const child = spawn(process.execPath, [command, ...parameters], { env: { ...process.env, ...environment } });
    this.process = child;
    child.stdout.on("data", (data) => {
      this.#stdout += data;
      for (const listen of this.#listeners) listen();
    });
    child.stderr.on("data", (data) => {
      this.#stderr += data;
    });
    this.done = new Promise((resolve) => {
      child.on("close", (status) => {
        const stdout = this.#stdout;
        const json = () => JSON.parse(stdout.trimEnd().split("\n").at(-1) as string) as Record<string, unknown>;
        resolve({ status, stdout, stderr: this.#stderr, json });
        for (const listen of this.#listeners) listen();
      });
    });
  }

  /** Waits until something that matches has been printed; fails where the command ends before. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const listen = (): void => {
        const match = pattern.exec(this.#stdout);
        if (match !== null) resolve(match);
        else if (this.process.exitCode !== null) reject(new Error(`Ended without ${pattern}: ${this.#stderr}`));
        else return;
        this.#listeners.delete(listen);
      };
      this.#listeners.add(listen);
      listen();
    });
  }
}

/** Runs `pageferry` to its end. */
export function runCommand(...parameters: string[]): Promise<CommandResult> {
  return new RunningCommand(parameters).done;
}
