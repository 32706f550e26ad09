import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a client asked. */
export interface Asked {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
  readonly id: number;
}

export const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}';

/** A QMP server on a unix socket and on a TCP port, which says what the test tells it to. It talks with one client. */
export class FakeQmp {
  readonly path: string;
  readonly asked: Asked[] = [];
  /** Called with every command but the first, `qmp_capabilities`, which is answered. */
  onCommand: (command: Asked) => void = () => {};
  readonly #folder: string = mkdtempSync(join(tmpdir(), "pageferry-"));
  readonly #servers: Server[];
  readonly #sockets = new Set<Socket>();
  readonly #greeting: string | Uint8Array;
  #text = "";

  private constructor(greeting: string | Uint8Array) {
    this.path = join(this.#folder, "qmp");
    this.#greeting = greeting;
    this.#servers = [1, 2].map(() => createServer((socket) => this.#talk(socket)));
  }

  /** Default: greets as QEMU does. */
  static async start(greeting: string | Uint8Array = `${GREETING}\r\n`): Promise<FakeQmp> {
    const fake = new FakeQmp(greeting);
    const [local, tcp] = fake.#servers as [Server, Server];
    await once(local.listen(fake.path), "listening");
    await once(tcp.listen(0, "127.0.0.1"), "listening");
    return fake;
  }

  get port(): number {
    return ((this.#servers[1] as Server).address() as { port: number }).port;
  }

  say(text: string | Uint8Array): void {
    for (const socket of this.#sockets) socket.write(text);
  }

  event(name: string, data?: unknown): void {
    this.say(`${JSON.stringify({ timestamp: { seconds: 1700000000, microseconds: 250000 }, event: name, data })}\r\n`);
  }

  answer(id: number, value: unknown = {}): void {
    this.say(`${JSON.stringify({ return: value, id })}\r\n`);
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  stop(): void {
    this.hangUp();
    for (const server of this.#servers) server.close();
    rmSync(this.#folder, { recursive: true });
  }

  #talk(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (data) => {
      this.#text += data;
      const lines = this.#text.split("\n");
      this.#text = lines.pop() as string;
      for (const line of lines) this.#take(JSON.parse(line));
    });
    socket.write(this.#greeting);
  }

  #take(command: Asked): void {
    this.asked.push(command);
    if (command.execute === "qmp_capabilities") this.answer(command.id);
    else this.onCommand(command);
  }
}
