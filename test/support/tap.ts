import { createHash, type Hash } from "node:crypto";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { type QemuAddress, resetSocket } from "../../src/relay/address.js";

/** What has gone by in one direction. */
export interface Tapped {
  readonly bytes: number;
  readonly sha256: string;
}

/** A place to connect to that passes everything on to another one, and notes what it was. */
export class Tap {
  readonly #server: Server;
  readonly #directions: readonly [Direction, Direction] = [new Direction(), new Direction()];
  readonly #sockets = new Set<Socket>();

  private constructor(target: QemuAddress) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({ ...target, allowHalfOpen: true, noDelay: true });
      this.#pass(near, far, this.#directions[0]);
      this.#pass(far, near, this.#directions[1]);
    });
  }

  static listen(target: QemuAddress): Promise<Tap> {
    const tap = new Tap(target);
    return new Promise((resolve) => {
      tap.#server.listen({ host: "127.0.0.1", port: 0 }, () => resolve(tap));
    });
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: "127.0.0.1", port: (this.#server.address() as AddressInfo).port };
  }

  /** From those who connected to the other side. */
  get forth(): Tapped {
    return this.#directions[0].tapped;
  }

  get back(): Tapped {
    return this.#directions[1].tapped;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #pass(from: Socket, to: Socket, direction: Direction): void {
    this.#sockets.add(from);
    from.on("data", (chunk) => {
      direction.add(chunk);
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => from.resume());
    from.on("end", () => to.end());
    from.on("error", () => resetSocket(to));
    from.on("close", () => this.#sockets.delete(from));
  }
}

class Direction {
  readonly #hash: Hash = createHash("sha256");
  #bytes = 0;

  add(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
  }

  get tapped(): Tapped {
    return { bytes: this.#bytes, sha256: this.#hash.copy().digest("hex") };
  }
}
