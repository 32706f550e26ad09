import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import type { Connection } from "./connection.js";
import { TransportError } from "./errors.js";
import { type Listener, type ListenOptions, listen } from "./tcp.js";
import {
  checkToken,
  MAX_MESSAGE_BYTES,
  openWebSocket,
  SUBPROTOCOL,
  type WebSocketConnectOptions,
  webSocketConnection,
} from "./websocket.js";

/** Options of {@link listenWebSocket}. */
export interface WebSocketListenOptions extends ListenOptions {
  /**
   * The web pages that may connect, by their origins (`https://example.org`, `http://localhost:8080`). Any page that a browser on this machine
   * shows can reach a port on loopback, so all others are turned away. Default: none. What is no browser gives no origin, could claim any, and
   * is let in: what keeps it out is the address listened at, and the token.
   */
  readonly origins?: readonly string[];
  /** A secret that whoever connects must give, pages and programs alike; 16 to 256 letters, digits, or characters of - . _ ~. Default: none. */
  readonly token?: string;
  /** Which paths there are; others are answered with 404. Default: all. */
  readonly hasPath?: (path: string) => boolean;
}

/** How somebody came to a WebSocket listener. */
export interface WebSocketArrival {
  /** The path of the address, as it was sent (percent-encoded), without its query. */
  readonly path: string;
  /** The origin of the web page, which is on the list; undefined where it is none. */
  readonly origin: string | undefined;
}

/**
 * Listens for WebSockets, without encryption: for this machine, networks that are trusted, or behind a server that does TLS. Hands on whoever
 * {@link WebSocketListenOptions} lets in; others get an HTTP status (400, 401, 403, 404). Throws `connect-failed` and `argument`.
 */
export async function listenWebSocket(
  options: WebSocketListenOptions,
  onConnection: (connection: Connection, arrival: WebSocketArrival) => void,
): Promise<Listener> {
  const gate = new Gate(options);
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: () => SUBPROTOCOL,
  });
  const server = createServer((_, response) => response.writeHead(426, { upgrade: "websocket" }).end());
  server.on("upgrade", (request, socket, head) => {
    const arrival = { path: pathOf(request), origin: request.headers.origin };
    const status = gate.refusal(request, arrival);
    if (status !== undefined) refuse(socket, status);
    else sockets.handleUpgrade(request, socket, head, (opened) => onConnection(webSocketConnection(opened), arrival));
  });
  const port = await listen(server, options);
  return {
    port,
    async close() {
      server.close();
      // Not those that have become WebSockets.
      server.closeAllConnections();
    },
  };
}

/** `connectWebSocket` of the library for browsers, with a WebSocket that all versions of Node have. */
export function connectWebSocket(url: string, options?: WebSocketConnectOptions): Promise<Connection> {
  const limits = { perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES };
  return openWebSocket(url, options, (address, protocols) => new WebSocket(address, protocols, limits));
}

/** Decides who may come in. */
class Gate {
  readonly #origins: ReadonlySet<string>;
  readonly #tokenDigest: Uint8Array | undefined;
  readonly #hasPath: (path: string) => boolean;

  constructor({ origins = [], token, hasPath = () => true }: WebSocketListenOptions) {
    for (const origin of origins) {
      if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
        const message = `${JSON.stringify(origin)} is no origin of a web page, such as http://localhost:8080.`;
        throw new TransportError("argument", message);
      }
    }
    if (token !== undefined) checkToken(token);
    this.#origins = new Set(origins);
    this.#tokenDigest = token === undefined ? undefined : digest(`${SUBPROTOCOL}.${token}`);
    this.#hasPath = hasPath;
  }

  /** The HTTP status of the refusal; undefined for who may come in. */
  refusal(request: IncomingMessage, { path, origin }: WebSocketArrival): number | undefined {
    if (origin !== undefined && !this.#origins.has(origin)) return 403;
    const protocols = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
    if (!protocols.includes(SUBPROTOCOL)) return 400;
    if (!this.#hasToken(protocols)) return 401;
    return this.#hasPath(path) ? undefined : 404;
  }

  /** Digests are compared, in constant time, so that neither the token's length nor its beginning shows in how long that takes. */
  #hasToken(protocols: readonly string[]): boolean {
    const expected = this.#tokenDigest;
    return expected === undefined || protocols.some((name) => timingSafeEqual(digest(name), expected));
  }
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function pathOf({ url = "/" }: IncomingMessage): string {
  return url.split("?", 1)[0] as string;
}

function refuse(socket: Duplex, status: number): void {
  socket.on("error", () => {});
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  socket.once("finish", () => socket.destroy());
}
