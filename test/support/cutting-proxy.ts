import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const LOOPBACK = "127.0.0.1";

/** A TCP proxy that resets its connections, both ends of them, after so many bytes. */
export class CuttingProxy {
  /** Connections that were reset. */
  cuts = 0;
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #nextBudget: () => number;
  readonly #sockets = new Set<Socket>();

  /** `nextBudget`: after how many bytes, both directions together, the next connection is to be cut. */
  private constructor(targetPort: number, nextBudget: () => number) {
    this.#targetPort = targetPort;
    this.#nextBudget = nextBudget;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => this.#join(near));
  }

  static async start(targetPort: number, nextBudget: () => number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(targetPort, nextBudget);
    proxy.#server.listen(0, LOOPBACK);
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Resets all connections that there are. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  #join(near: Socket): void {
    const far = connect({ host: LOOPBACK, port: this.#targetPort, allowHalfOpen: true, noDelay: true });
    let leftBytes = this.#nextBudget();
    const pass = (from: Socket, to: Socket): void => {
      this.#sockets.add(from);
      from.on("data", (bytes) => {
        const isCut = bytes.length >= leftBytes;
        const passed = bytes.subarray(0, leftBytes);
        leftBytes -= passed.length;
        if (!to.write(passed)) from.pause();
        if (!isCut || from.destroyed) return;
        this.cuts += 1;
        near.resetAndDestroy();
        far.resetAndDestroy();
      });
      to.on("drain", () => from.resume());
      from.on("end", () => to.end());
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.resetAndDestroy();
      });
    };
    pass(near, far);
    pass(far, near);
  }
}
