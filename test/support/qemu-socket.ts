import { connect, createServer, type Server, type Socket } from "node:net";
import type { QemuAddress } from "../../src/relay/address.js";

/** One end of a migration's connection: collects what comes. */
export class QemuSocket {
  readonly socket: Socket;
  /** Resolves when the other side has ended its direction, or has reset the connection: then with the error's code. */
  readonly ended: Promise<string | undefined>;
  readonly closed: Promise<void>;
  #chunks: Uint8Array[] = [];
  #byteLength = 0;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.#chunks.push(chunk);
      this.#byteLength += chunk.length;
      for (const look of this.#waiting) look();
    });
    this.ended = new Promise((resolve) => {
      socket.on("end", () => resolve(undefined));
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", () => resolve());
    });
  }

  /** Everything that has come. */
  get bytes(): Uint8Array {
    this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] as Uint8Array;
  }

  /** Resolves when so many bytes have come. */
  received(byteLength: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#byteLength < byteLength) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Writes with back-pressure; resolves when the socket has taken it, or is gone. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.socket.destroyed; at += 65536) {
      await new Promise<void>((resolve) => {
        this.socket.write(bytes.subarray(at, at + 65536), () => resolve());
      });
    }
  }
}

/** A QEMU that migrates to this address. */
export function migrateTo(address: QemuAddress): QemuSocket {
  return new QemuSocket(connect({ ...address, allowHalfOpen: true, noDelay: true }));
}

/** A QEMU that waits for migrations. */
export class WaitingQemu {
  readonly address: QemuAddress;
  readonly #server: Server;
  readonly #arrivals: QemuSocket[] = [];
  #onArrival: (() => void) | undefined;

  private constructor(server: Server, address: QemuAddress) {
    this.#server = server;
    this.address = address;
    server.on("connection", (socket) => {
      this.#arrivals.push(new QemuSocket(socket));
      this.#onArrival?.();
    });
  }

  /** `path`: at a unix socket. */
  static listen(path?: string): Promise<WaitingQemu> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    return new Promise((resolve) => {
      server.listen(path === undefined ? { host: "127.0.0.1", port: 0 } : { path }, () => {
        const bound = server.address();
        const address =
          typeof bound === "string" || bound === null
            ? { path: path as string }
            : { host: "127.0.0.1", port: bound.port };
        resolve(new WaitingQemu(server, address));
      });
    });
  }

  /** The next migration that comes in. */
  async arrival(): Promise<QemuSocket> {
    while (this.#arrivals.length === 0) {
      await new Promise<void>((resolve) => {
        this.#onArrival = resolve;
      });
    }
    return this.#arrivals.shift() as QemuSocket;
  }

  close(): void {
    this.#server.close();
    for (const { socket } of this.#arrivals) socket.destroy();
  }
}
