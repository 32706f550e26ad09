import type { Connection } from "../../src/transport/connection.js";
import { resumableConnect } from "../../src/transport/resumable.js";
import { ResumableAcceptor } from "../../src/transport/resumable-acceptor.js";
import { connectTcp, listenTcp } from "../../src/transport/tcp.js";
import { CuttingProxy } from "./cutting-proxy.js";
import { Random } from "./random.js";

const host = "127.0.0.1";
const OPTIONS = { silenceMs: 1000 };

/** Two ends of a resumable connection over TCP. */
export interface ResumablePair {
  readonly ends: readonly [Connection, Connection];
  /** How often the link was cut. */
  readonly cuts: number;
  close(): Promise<void>;
}

/** A resumable connection whose link is cut `cuts` times, each after some hundred kB. */
export async function resumablePair(cuts: number): Promise<ResumablePair> {
  const random = new Random(cuts);
  let arrive: (connection: Connection) => void = () => {};
  const arrived = new Promise<Connection>((resolve) => {
    arrive = resolve;
  });
  const acceptor = new ResumableAcceptor(OPTIONS, arrive);
  const listener = await listenTcp({ host, port: 0 }, (inner) => acceptor.accept(inner));
  const proxy: CuttingProxy = await CuttingProxy.start(listener.port, () =>
    proxy.cuts < cuts ? 1000 + random.below(600_000) : Number.POSITIVE_INFINITY,
  );
  const near = await resumableConnect(() => connectTcp({ host, port: proxy.port }), OPTIONS);
  return {
    ends: [near, await arrived],
    get cuts() {
      return proxy.cuts;
    },
    async close() {
      await listener.close();
      acceptor.close();
      proxy.close();
    },
  };
}
