import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Asked, FakeQmp } from "./fake-qmp.js";

/** What of a QEMU can be different. */
export interface FakeQemuOptions {
  /** Memory backends and their sizes. */
  readonly memory?: Readonly<Record<string, number>>;
  /** Whether it waits for a machine. */
  readonly isIncoming?: boolean;
  readonly status?: string;
  readonly machineType?: string;
}

/** What a QMP command does instead; before it hangs up, it is done. */
export type CommandFault = "refuse" | "hang-up";

/** What a migrator sees of a QEMU: RAM files, and a QMP server that does as QEMU 7.2 does. It computes nothing. */
export class FakeQemu {
  readonly folder: string = mkdtempSync(join(tmpdir(), "pageferry-"));
  /** The paths of the RAM files by their backends' names. */
  readonly ram: Record<string, string>;
  /** Commands in their order. */
  readonly executed: string[] = [];
  /** The state of its devices: what it sends, or what it was sent. */
  state: Uint8Array = new TextEncoder().encode("registers and devices");
  readonly capabilities: Map<string, boolean> = new Map([
    ["xbzrle", true],
    ["x-ignore-shared", false],
    ["events", false],
  ]);
  /** How its next part of a migration ends. */
  ends: "completed" | "failed" = "completed";
  status: string;
  hasQuit = false;
  /** Hears of every command before it is done. */
  onExecute: (command: string) => void = () => {};
  readonly faults: Map<string, CommandFault> = new Map<string, CommandFault>();
  /** Answers of these commands that are not QEMU's own. */
  readonly answers: Map<string, unknown> = new Map<string, unknown>();
  readonly #server: FakeQmp;
  readonly #memory: Readonly<Record<string, number>>;
  readonly #machineType: string;

  private constructor(server: FakeQmp, options: FakeQemuOptions) {
    const {
      memory = { mem0: 64 << 12, mem1: 16 << 12 },
      isIncoming = false,
      machineType = "pc-q35-7.2-machine",
    } = options;
    this.#server = server;
    this.#memory = memory;
    this.#machineType = machineType;
    this.status = options.status ?? (isIncoming ? "inmigrate" : "running");
    this.ram = Object.fromEntries(Object.keys(memory).map((name) => [name, join(this.folder, name)]));
    for (const [name, bytes] of Object.entries(memory)) {
      writeFileSync(this.ram[name] as string, "");
      truncateSync(this.ram[name] as string, bytes);
    }
    server.onCommand = (command) => this.#take(command);
  }

  static async start(options: FakeQemuOptions = {}): Promise<FakeQemu> {
    return new FakeQemu(await FakeQmp.start(), options);
  }

  get qmpPath(): string {
    return this.#server.path;
  }

  get isRunning(): boolean {
    return this.status === "running" && !this.hasQuit;
  }

  stop(): void {
    this.#server.stop();
    rmSync(this.folder, { recursive: true });
  }

  #take({ execute, arguments: parameters = {}, id }: Asked): void {
    this.executed.push(execute);
    this.onExecute(execute);
    const fault = this.faults.get(execute);
    if (fault === "refuse") {
      this.#refuse(id, `${execute} cannot be done`);
      return;
    }
    const answer = this.answers.has(execute) ? this.answers.get(execute) : this.#answer(execute, parameters);
    if (fault === "hang-up") this.#server.hangUp();
    else if (answer === undefined) this.#refuse(id, "Property not found");
    else this.#server.answer(id, answer);
    if (execute === "quit") {
      this.hasQuit = true;
      this.#server.hangUp();
    }
  }

  #refuse(id: number, desc: string): void {
    this.#server.say(`${JSON.stringify({ error: { class: "GenericError", desc }, id })}\r\n`);
  }

  #answer(command: string, parameters: Readonly<Record<string, unknown>>): unknown {
    switch (command) {
      case "query-status":
        return { status: this.status, running: this.status === "running", singlestep: false };
      case "query-migrate-capabilities":
        return [...this.capabilities].map(([capability, state]) => ({ capability, state }));
      case "migrate-set-capabilities":
        for (const { capability, state } of parameters["capabilities"] as { capability: string; state: boolean }[]) {
          this.capabilities.set(capability, state);
        }
        return {};
      case "query-name":
        return { name: "db" };
      case "query-memdev":
        return Object.entries(this.#memory).map(([id, size]) => ({ id, size, share: true, policy: "default" }));
      case "query-memory-size-summary":
        return {
          "base-memory": Object.values(this.#memory).reduce((sum, bytes) => sum + bytes, 0),
          "plugged-memory": 0,
        };
      case "qom-list":
        return Object.keys(this.#memory).map((name) => ({ name, type: "child<memory-backend-file>" }));
      case "qom-get":
        return this.#property(parameters);
      case "stop":
        if (this.status === "running") this.status = "paused";
        return {};
      case "cont":
        this.status = "running";
        return {};
      case "query-migrate":
        return { status: this.ends, ...(this.ends === "failed" && { "error-desc": "the disk is full" }) };
      case "migrate":
        this.#send(parameters["uri"] as string);
        return {};
      case "migrate-incoming":
        this.#receive(parameters["uri"] as string);
        return {};
      default:
        return {};
    }
  }

  #property({ path, property }: Readonly<Record<string, unknown>>): unknown {
    if (path === "/machine") return property === "type" ? this.#machineType : undefined;
    const name = String(path).replace("/objects/", "");
    return property === "mem-path" ? this.ram[name] : property === "readonly" ? false : undefined;
  }

  #send(uri: string): void {
    connect(uri.replace("unix:", ""))
      .on("error", () => this.#end("failed"))
      .on("connect", () => this.#end(this.ends))
      .end(this.state);
  }

  #receive(uri: string): void {
    const server = createServer((socket) => {
      server.close();
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => chunks.push(chunk));
      socket.on("error", () => {});
      socket.on("end", () => {
        socket.end();
        this.state = new Uint8Array(Buffer.concat(chunks));
        if (this.ends === "completed") this.status = "paused";
        this.#end(this.ends);
      });
    });
    server.listen(uri.replace("unix:", ""));
  }

  #end(status: "completed" | "failed"): void {
    if (this.status === "paused" && status === "completed" && this.executed.includes("migrate"))
      this.status = "postmigrate";
    this.#server.event("MIGRATION", { status: "active" });
    this.#server.event("MIGRATION", { status });
  }
}
