import { MessageChannel } from "node:worker_threads";
import type { Connection } from "../../src/transport/connection.js";
import { type Credentials, createCredentials } from "../../src/transport/credentials.js";
import { delayConnection } from "../../src/transport/latency.js";
import { limitBandwidth } from "../../src/transport/limit.js";
import { messagePortConnection } from "../../src/transport/message-port.js";
import { connectionPair } from "../../src/transport/pair.js";
import { pipeConnections } from "../../src/transport/pipe.js";
import { resumableConnect } from "../../src/transport/resumable.js";
import { ResumableAcceptor } from "../../src/transport/resumable-acceptor.js";
import { openTabConnection } from "../../src/transport/tab.js";
import { connectTcp, listenTcp } from "../../src/transport/tcp.js";
import { connectTls, listenTls } from "../../src/transport/tls.js";
import { connectWebSocket, listenWebSocket } from "../../src/transport/websocket-server.js";

/** A way to get two connected ends. */
export interface Ends {
  readonly name: string;
  /** The most that an unread peer may let its sender send, in bytes, all buffers of the way together. */
  readonly bufferedBytes: number;
  open(): Promise<[Connection, Connection]>;
}

const MIB = 1024 * 1024;
/** The kernel may buffer so much of a TCP connection (its limits for sending and receiving). */
const KERNEL_BYTES = 16 * MIB;

/** Two ends of one listener. */
export async function joined(
  listen: (onConnection: (connection: Connection) => void) => Promise<{ port: number; close(): Promise<void> }>,
  connect: (port: number) => Promise<Connection>,
): Promise<[Connection, Connection]> {
  let arrive: (connection: Connection) => void = () => {};
  const arrived = new Promise<Connection>((resolve) => {
    arrive = resolve;
  });
  const listener = await listen(arrive);
  try {
    return [await connect(listener.port), await arrived];
  } finally {
    await listener.close();
  }
}

const host = "127.0.0.1";
let credentials: Promise<Record<string, Credentials>> | undefined;

/** Credentials of the hosts `source` and `destination`, made once. */
export async function hosts(): Promise<{ source: Credentials; destination: Credentials }> {
  credentials ??= createCredentials(["source", "destination"]);
  return (await credentials) as unknown as { source: Credentials; destination: Credentials };
}

const pair: Ends = { name: "pair", bufferedBytes: 2 * MIB, open: async () => connectionPair() };
const messagePort: Ends = {
  name: "message port",
  bufferedBytes: 4 * MIB,
  async open() {
    const { port1, port2 } = new MessageChannel();
    return [messagePortConnection(port1), messagePortConnection(port2)];
  },
};
const tcp: Ends = {
  name: "TCP",
  bufferedBytes: KERNEL_BYTES + 4 * MIB,
  open: () =>
    joined(
      (onConnection) => listenTcp({ host, port: 0 }, onConnection),
      (port) => connectTcp({ host, port }),
    ),
};
const tls: Ends = {
  name: "TLS",
  bufferedBytes: KERNEL_BYTES + 4 * MIB,
  async open() {
    const { source, destination } = await hosts();
    return joined(
      (onConnection) => listenTls({ host, port: 0, credentials: destination }, onConnection),
      (port) => connectTls({ host, port, credentials: source }),
    );
  },
};
const webSocket: Ends = {
  name: "WebSocket",
  bufferedBytes: KERNEL_BYTES + 8 * MIB,
  open: () =>
    joined(
      (onConnection) => listenWebSocket({ host, port: 0 }, onConnection),
      (port) => connectWebSocket(`ws://${host}:${port}`),
    ),
};
const tabs: Ends = {
  name: "tabs",
  bufferedBytes: 4 * MIB,
  open() {
    const name = crypto.randomUUID();
    return Promise.all([openTabConnection(name), openTabConnection(name)]);
  },
};
/** Two message ports, joined in the middle. */
const pipe: Ends = {
  name: "pipe",
  bufferedBytes: 2 * messagePort.bufferedBytes,
  async open() {
    const [near, left] = await messagePort.open();
    const [right, far] = await messagePort.open();
    pipeConnections(left, right).catch(() => {});
    return [near, far];
  },
};

function wrapped(name: string, ends: Ends, moreBytes: number, wrap: (connection: Connection) => Connection): Ends {
  return {
    name: `${name} over ${ends.name}`,
    bufferedBytes: ends.bufferedBytes + moreBytes,
    async open() {
      const [left, right] = await ends.open();
      return [wrap(left), wrap(right)];
    },
  };
}

/** What is in a resumable connection's own buffers: unsent, to be sent again, and unread. */
const RESUMABLE_BYTES = 18 * MIB;

/** A connection that can be resumed, over one that is not cut here. */
function resumable(ends: Ends): Ends {
  return {
    name: `resumable over ${ends.name}`,
    bufferedBytes: ends.bufferedBytes + RESUMABLE_BYTES,
    async open() {
      let arrive: (connection: Connection) => void = () => {};
      const arrived = new Promise<Connection>((resolve) => {
        arrive = resolve;
      });
      const acceptor = new ResumableAcceptor({}, arrive);
      const dial = async (): Promise<Connection> => {
        const [here, there] = await ends.open();
        acceptor.accept(there);
        return here;
      };
      return [await resumableConnect(dial), await arrived];
    },
  };
}

const fast = { bytesPerSecond: 1e9, burstBytes: MIB };

/** Every connection and wrapper that there is. */
export const allEnds: readonly Ends[] = [
  pair,
  messagePort,
  tcp,
  tls,
  webSocket,
  tabs,
  pipe,
  wrapped("limit", pair, 2 * MIB, (inner) => limitBandwidth(inner, fast)),
  wrapped("limit", tls, 2 * MIB, (inner) => limitBandwidth(inner, fast)),
  wrapped("delay", pair, 66 * MIB, (inner) => delayConnection(inner, { latencyMs: 3 })),
  wrapped("delay", tcp, 66 * MIB, (inner) => delayConnection(inner, { latencyMs: 3 })),
  wrapped("limit and delay", messagePort, 68 * MIB, (inner) =>
    limitBandwidth(delayConnection(inner, { latencyMs: 1 }), fast),
  ),
  resumable(pair),
  resumable(tcp),
  resumable(webSocket),
  resumable(wrapped("limit", tls, 2 * MIB, (inner) => limitBandwidth(inner, fast))),
];
