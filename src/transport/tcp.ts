import { connect, createServer, type Server, type Socket } from "node:net";
import { checkAddress, checkNumber, DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS } from "./check.js";
import type { Connection } from "./connection.js";
import { TransportError } from "./errors.js";
import { socketConnection } from "./socket.js";

/** Where a host is reached. */
export interface ConnectOptions {
  /** A name, or an IPv4 or IPv6 address. */
  readonly host: string;
  readonly port: number;
  /** After so many ms without a connection, give up. Default: 10,000. */
  readonly timeoutMs?: number;
}

/** Where to listen. */
export interface ListenOptions {
  /** The address to listen at: 127.0.0.1 for this machine only, 0.0.0.0 or :: for all networks. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** A port that is listened at. */
export interface Listener {
  readonly port: number;
  /** Takes no more connections, and breaks off those that are not established yet; established ones stay. */
  close(): Promise<void>;
}

/** Connects without encryption: for networks that are trusted or protected otherwise. Throws `connect-failed`. */
export async function connectTcp(options: ConnectOptions): Promise<Connection> {
  return socketConnection(await openSocket(options));
}

/** Listens without encryption: anybody who reaches the port is handed to `onConnection`. Throws `connect-failed`. */
export async function listenTcp(
  options: ListenOptions,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
    onConnection(socketConnection(socket)),
  );
  const port = await listen(server, options);
  return {
    port,
    async close() {
      server.close();
    },
  };
}

/** A connected socket, as {@link socketConnection} wants it. */
export function openSocket({ host, port, timeoutMs = DEFAULT_TIMEOUT_MS }: ConnectOptions): Promise<Socket> {
  checkAddress(host, port, 1);
  checkNumber("timeoutMs", timeoutMs, 1, MAX_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const fail = (cause?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      const why = cause === undefined ? `no answer within ${timeoutMs} ms` : describe(cause);
      const advice = "Check the address, that the other side is listening, and that no firewall is between.";
      reject(
        new TransportError("connect-failed", `Cannot connect to ${host} port ${port}: ${why}. ${advice}`, { cause }),
      );
    };
    const timer = setTimeout(fail, timeoutMs);
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve(socket);
    });
  });
}

/** Lets the server listen; returns its port. */
export function listen(server: Server, { host, port }: ListenOptions): Promise<number> {
  checkAddress(host, port, 0);
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      const message = `Cannot listen at ${host} port ${port}: ${describe(cause)}. Choose another address or port.`;
      reject(new TransportError("connect-failed", message, { cause }));
    });
    server.listen({ host, port }, () => {
      // Later errors are of single connections that could not be accepted (too many open files, say): the server goes on.
      server.on("error", () => {});
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

function describe(cause: Error): string {
  return (cause as NodeJS.ErrnoException).code ?? cause.message;
}
