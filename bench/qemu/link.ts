import { type Connection, delayConnection, limitBandwidth } from "pageferry";
import { connectTcp, type Listener, listenTcp } from "pageferry/node";

/** What lies between two hosts. */
export interface LinkShape {
  /** Undefined: as fast as the machine is. */
  readonly bytesPerSecond: number | undefined;
  /** There and back. */
  readonly roundTripMs: number;
}

/** Little may go at once after a pause, as on a wire. */
const BURST_MS = 4;
const LEAST_BURST_BYTES = 16 << 10;

/** A port of this host that leads to another one over a link of some shape: limited and delayed in each direction. */
export class Link {
  readonly port: number;
  /** Bytes in both directions. */
  bytes = 0;
  readonly #listener: Listener;
  readonly #ends: Connection[] = [];

  private constructor(listener: Listener) {
    this.#listener = listener;
    this.port = listener.port;
  }

  /** A link to a port of this host. */
  static async open(shape: LinkShape, port: number): Promise<Link> {
    const join = async (near: Connection): Promise<void> => {
      link.#join(near, await connectTcp({ host: "127.0.0.1", port }), shape);
    };
    const link = new Link(await listenTcp({ host: "127.0.0.1", port: 0 }, join));
    return link;
  }

  /** Cuts everything that is open. */
  async close(): Promise<void> {
    await this.#listener.close();
    for (const end of this.#ends) end.abort(new Error("the link is closed"));
  }

  #join(near: Connection, far: Connection, shape: LinkShape): void {
    this.#ends.push(near, far);
    this.#carry(near, shaped(far, shape));
    this.#carry(far, shaped(near, shape));
  }

  async #carry(from: Connection, to: Connection): Promise<void> {
    try {
      for (;;) {
        const bytes = await from.receive();
        if (bytes === undefined) break;
        this.bytes += bytes.length;
        await to.send(bytes);
      }
      await to.close();
    } catch (error) {
      from.abort(error as Error);
      to.abort(error as Error);
    }
  }
}

function shaped(connection: Connection, { bytesPerSecond, roundTripMs }: LinkShape): Connection {
  const delayed = roundTripMs === 0 ? connection : delayConnection(connection, { latencyMs: roundTripMs / 2 });
  if (bytesPerSecond === undefined) return delayed;
  const burstBytes = Math.max(LEAST_BURST_BYTES, Math.round((bytesPerSecond * BURST_MS) / 1000));
  return limitBandwidth(delayed, { bytesPerSecond, burstBytes });
}
