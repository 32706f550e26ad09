import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { RunningCommand, runCommand } from "../support/command.js";
import { exampleIn } from "../support/docs.js";
import { LabMachine } from "./machine.js";
import type { LabMachineOptions, LabPlan } from "./plan.js";

/** What a document's QEMU is given itself, and what of the lab's machine is the same. */
const DOCUMENTED = ["-name", "-machine", "-m", "-object"];
/** Of the machine that the documents move. */
const OPTIONS: LabMachineOptions = { workload: { kind: "idle" }, memoryBytes: 512 << 20 };

type Replacements = Readonly<Record<string, string>>;

interface QmpMessage {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** Commands of a document about machines of QEMU, run as they stand there, but for names of files and hosts. */
export class DocumentedCommands {
  /** Where credentials are, as `pageferry keygen alpha beta` made them. */
  readonly folder: string;
  readonly #document: string;
  readonly #cleanups: (() => unknown)[] = [];

  private constructor(document: string) {
    this.#document = document;
    this.folder = mkdtempSync(join(tmpdir(), "pageferry-"));
    this.#cleanups.push(() => rmSync(this.folder, { recursive: true }));
  }

  static async of(document: string): Promise<DocumentedCommands> {
    const commands = new DocumentedCommands(document);
    expect((await runCommand("keygen", "alpha", "beta", "-o", `${commands.folder}/credentials`)).status).toBe(0);
    return commands;
  }

  async end(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }

  /** A command in words, some of them replaced. */
  words(name: string, replacements: Replacements): string[] {
    let text = exampleIn(this.#document, "sh", name).replaceAll("\\\n", " ").replaceAll("…", " ").trim();
    expect(text, name).not.toContain("\n");
    for (const [from, to] of Object.entries(replacements)) {
      expect(text, `${name} has ${from}`).toContain(from);
      text = text.replaceAll(from, to);
    }
    return text.split(/\s+/);
  }

  /** A message to QEMU, some of it replaced. */
  message(name: string, replacements: Replacements = {}): QmpMessage {
    let text = exampleIn(this.#document, "json", name);
    for (const [from, to] of Object.entries(replacements)) text = text.replace(from, to);
    return JSON.parse(text);
  }

  /** A pageferry command; `credentials/` in it are those of {@link folder}. */
  pageferry(name: string, replacements: Replacements, more: readonly string[] = []): RunningCommand {
    const [program, ...parameters] = this.words(name, replacements);
    expect(program).toBe("pageferry");
    const ours = parameters.map((word) => word.replace(/^credentials\//, `${this.folder}/credentials/`));
    const command = new RunningCommand([...ours, ...more]);
    this.#cleanups.push(() => command.process.kill("SIGKILL"));
    return command;
  }

  /** The command line of a machine of the lab, whose files the document's commands are given. */
  plan(): Promise<LabPlan> {
    return LabMachine.plan(OPTIONS);
  }

  /** The document's QEMU, with the lab's guest in it. */
  async startMachine(...more: string[]): Promise<LabMachine> {
    const plan = await this.plan();
    const command = this.words("machine", { "/dev/shm/db": plan.paths.ram, "/run/db.qmp": plan.paths.monitor });
    return await this.start(plan, [...command, ...restOf(plan), ...more]);
  }

  /** A QEMU by its command line, with the plan's files. */
  async start(plan: LabPlan, commandLine: readonly string[]): Promise<LabMachine> {
    spawn("setpriv", ["--pdeathsig", "KILL", ...commandLine], { stdio: "ignore" });
    return await this.attach(plan);
  }

  /** Listens to a machine from the moment that its QEMU is there. */
  async attach(plan: LabPlan): Promise<LabMachine> {
    const machine = await LabMachine.attach(plan);
    this.#cleanups.push(() => machine.stop());
    return machine;
  }
}

/** What the lab's machine has and a document leaves out: kernel, serial ports, the lab's own QMP socket. */
export function restOf({ paths, commandLine }: LabPlan): string[] {
  const rest: string[] = [];
  for (let at = 1; at < commandLine.length; at += 2) {
    const [option, value] = [commandLine[at] as string, commandLine[at + 1] as string];
    const isFlag = value.startsWith("-");
    const isMonitor = option === "-qmp" && value.includes(paths.monitor);
    if (!isMonitor && !DOCUMENTED.includes(option)) rest.push(...(isFlag ? [option] : [option, value]));
    if (isFlag) at -= 1;
  }
  return rest;
}

/** What a document's addresses become: the port of a command that listens, on this host. */
export const LISTEN: Replacements = { "0.0.0.0:7800": "127.0.0.1:0" };

export function toPort(port: string): Replacements {
  return { "beta:7800": `127.0.0.1:${port} --server-name beta` };
}

export async function portOf(command: RunningCommand): Promise<string> {
  return (await command.waitFor(/ at [^ ]+:(\d+)/))[1] as string;
}
