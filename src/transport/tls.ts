import { isIP, type Socket } from "node:net";
import { connect, createServer, type SecureContextOptions, type TLSSocket } from "node:tls";
import { checkNumber, DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS } from "./check.js";
import type { Connection, Peer } from "./connection.js";
import { type Credentials, checkCredentials } from "./credentials.js";
import { TransportError } from "./errors.js";
import { socketConnection } from "./socket.js";
import { type ConnectOptions, type Listener, type ListenOptions, listen, openSocket } from "./tcp.js";

/** Options of {@link connectTls}. */
export interface TlsConnectOptions extends ConnectOptions {
  readonly credentials: Credentials;
  /** The name that the other side's certificate must have. Default: the host. */
  readonly serverName?: string;
}

/** Options of {@link listenTls}. */
export interface TlsListenOptions extends ListenOptions {
  readonly credentials: Credentials;
  /** Who has not proven who it is after so many ms is turned away. Default: 10,000. */
  readonly handshakeTimeoutMs?: number;
}

/**
 * The listener's first byte, once it has verified the other side's certificate. In TLS 1.3 the connecting side is through with its handshake
 * before that (RFC 8446, figure 1), and would otherwise take a refusal for an orderly end.
 */
const ACCEPTED = 0x01;

/**
 * Connects with TLS 1.3, both sides proving who they are by a certificate of one authority. Throws `connect-failed` where nobody answers, or
 * not in TLS 1.3; `not-authenticated` where one side does not accept the other; `credentials` where one's own are of no use.
 *
 * Node does not tell whether the other side ended the connection (close_notify) or somebody on the way cut it off in its name: so the end
 * proves nothing, and a protocol must say in its own messages that it is through.
 */
export async function connectTls(options: TlsConnectOptions): Promise<Connection> {
  const { host, port, credentials, serverName = host, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const context = contextOptions(credentials);
  const startedMs = performance.now();
  const raw = await openSocket({ host, port, timeoutMs });
  // Told by the socket above it too.
  raw.on("error", () => {});
  const servername = isIP(serverName) === 0 ? serverName : "";
  const socket = connect({ ...context, socket: raw, host: serverName, servername });
  try {
    return await established(socket, raw, Math.max(1, timeoutMs - (performance.now() - startedMs)));
  } catch (cause) {
    // Closes the TCP socket too.
    socket.destroy();
    throw cause instanceof TransportError ? cause : explain(cause as Error, socket, `${host} port ${port}`, serverName);
  }
}

/** Listens with TLS 1.3; hands on only who has a certificate of the credentials' authority. Throws `connect-failed` and `credentials`. */
export async function listenTls(
  options: TlsListenOptions,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  const { handshakeTimeoutMs = DEFAULT_TIMEOUT_MS } = options;
  checkNumber("handshakeTimeoutMs", handshakeTimeoutMs, 1, MAX_TIMEOUT_MS);
  const server = createServer({
    ...contextOptions(options.credentials),
    allowHalfOpen: true,
    noDelay: true,
  });
  /** The TCP sockets whose handshakes are going on, by the other side's address. */
  const pending = new Map<string, Socket>();
  server.on("connection", (raw: Socket) => {
    const address = addressOf(raw);
    pending.set(address, raw);
    // Node's own time limit starts anew with every byte.
    const timer = setTimeout(() => pending.get(address) === raw && raw.destroy(), handshakeTimeoutMs);
    raw.on("error", () => {});
    raw.on("close", () => {
      clearTimeout(timer);
      if (pending.get(address) === raw) pending.delete(address);
    });
  });
  server.on("tlsClientError", (_, socket) => socket.destroy());
  server.on("secureConnection", (socket) => {
    const raw = pending.get(addressOf(socket));
    pending.delete(addressOf(socket));
    const peer = peerOf(socket);
    if (raw === undefined || peer === undefined) {
      socket.destroy();
      return;
    }
    socket.write(Uint8Array.of(ACCEPTED));
    onConnection(socketConnection(socket, peer, raw));
  });
  const port = await listen(server, options);
  return {
    port,
    async close() {
      server.close();
      for (const raw of pending.values()) raw.destroy();
    },
  };
}

function contextOptions(
  credentials: Credentials,
): SecureContextOptions & { requestCert: boolean; rejectUnauthorized: boolean } {
  checkCredentials(credentials);
  const { certificate: cert, key, authority: ca } = credentials;
  return { cert, key, ca, minVersion: "TLSv1.3", maxVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: true };
}

/** Resolves when both sides have accepted each other; rejects with what the socket says. */
function established(socket: TLSSocket, raw: Socket, timeoutMs: number): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void => {
      clearTimeout(timer);
      reject(cause);
    };
    const lose = (): void => fail(new Error("the connection ended"));
    const read = (): void => {
      const bytes: Uint8Array | null = socket.read(1);
      if (bytes === null) return;
      clearTimeout(timer);
      socket.off("readable", read).off("end", lose).off("close", lose).off("error", fail);
      // At once: what the socket tells next must find the connection listening.
      const connection = socketConnection(socket, peerOf(socket), raw);
      if (bytes[0] !== ACCEPTED) reject(new TransportError("connect-failed", "What listens there is not pageferry."));
      else if (connection.peer === undefined)
        reject(new TransportError("not-authenticated", "The listener's certificate has no name (CN)."));
      else resolve(connection);
    };
    const timer = setTimeout(() => {
      reject(new TransportError("connect-failed", "The listener did not finish the TLS handshake in time."));
    }, timeoutMs);
    socket.on("readable", read).on("end", lose).on("close", lose).on("error", fail);
  });
}

function explain(cause: Error, socket: TLSSocket, address: string, serverName: string): TransportError {
  const why = (cause as NodeJS.ErrnoException).code ?? cause.message;
  if (socket.authorizationError) {
    const advice = `Credentials of both sides must be in date and come from one set; its certificate must name it (see serverName).`;
    const message = `The listener at ${address} does not prove that it is ${serverName}: ${why}. ${advice}`;
    return new TransportError("not-authenticated", message, { cause });
  }
  if (socket.authorized) {
    const advice = "This side's credentials must be in date and come from the same set as the listener's.";
    const message = `The listener at ${address} does not accept this side's certificate: ${why}. ${advice}`;
    return new TransportError("not-authenticated", message, { cause });
  }
  const message = `No TLS 1.3 connection to ${address}: ${why}. Check that a pageferry listener with TLS is there.`;
  return new TransportError("connect-failed", message, { cause });
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Who the verified certificate says that the other side is. */
function peerOf(socket: TLSSocket): Peer | undefined {
  const { subject, fingerprint256 } = socket.getPeerCertificate() ?? {};
  if (typeof subject?.CN !== "string") return undefined;
  return { name: subject.CN, fingerprint: fingerprint256.replaceAll(":", "").toLowerCase() };
}
