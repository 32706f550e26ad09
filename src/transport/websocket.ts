import { checkNumber, DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS } from "./check.js";
import type { Connection } from "./connection.js";
import {
  creditedConnection,
  type LinkMessage,
  type LinkReceiver,
  type MessageLink,
  MIN_GRANT_BYTES,
} from "./credited.js";
import { TransportError } from "./errors.js";
import { decodeLinkMessage, encodeLinkMessage, LINK_HEADER_BYTES } from "./link-frame.js";

/** What is needed of a WebSocket; the browsers' has it, Node's, and that of `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly readyState: number;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  // biome-ignore lint/suspicious/noExplicitAny: every implementation has events of its own.
  addEventListener(type: any, listener: (event: any) => void): void;
}

/** Options of {@link connectWebSocket}. */
export interface WebSocketConnectOptions {
  /** The secret that the listener asks for, where it does. */
  readonly token?: string;
  /** After so many ms without a connection, give up. Default: 10,000. */
  readonly timeoutMs?: number;
}

/** The subprotocol, which the listener must choose; `pageferry.TOKEN` beside it proves that one may connect. */
export const SUBPROTOCOL = "pageferry";
/** The most bytes in one message of the WebSocket. */
export const MAX_MESSAGE_BYTES: number = 128 * 1024 + LINK_HEADER_BYTES;

const OPEN = 1;
/** The socket may hold so much that the network has not taken; it must be more than one grant (see {@link MessageLink.hasRoom}). */
const MOST_WAITING_BYTES: number = 2 * MIN_GRANT_BYTES;

/**
 * A connection over a WebSocket whose other end has one too; it may be opening still. The socket belongs to the connection from now on: nothing
 * may have been received by it. It encrypts and proves who the other side is as far as the socket does (`wss:`).
 */
export function webSocketConnection(socket: WebSocketLike): Connection {
  return creditedConnection((receiver) => new WebSocketLink(socket, receiver));
}

/**
 * Connects to a WebSocket listener with the runtime's own WebSocket. Rejects with `connect-failed`, and with `argument` for what is no address.
 * Browsers do not tell a page why a connection failed.
 */
export function connectWebSocket(url: string, options?: WebSocketConnectOptions): Promise<Connection> {
  return openWebSocket(url, options, (address, protocols) => {
    if (typeof WebSocket !== "undefined") return new WebSocket(address, protocols);
    throw new TransportError("connect-failed", "This runtime has no WebSocket; use pageferry/node, which brings one.");
  });
}

/** {@link connectWebSocket} with a WebSocket that `create` makes. */
export async function openWebSocket(
  url: string,
  { token, timeoutMs = DEFAULT_TIMEOUT_MS }: WebSocketConnectOptions = {},
  create: (url: string, protocols: string[]) => WebSocketLike,
): Promise<Connection> {
  const address = checkUrl(url);
  checkNumber("timeoutMs", timeoutMs, 1, MAX_TIMEOUT_MS);
  if (token !== undefined) checkToken(token);
  const socket = create(address.href, token === undefined ? [SUBPROTOCOL] : [SUBPROTOCOL, `${SUBPROTOCOL}.${token}`]);
  const connection = webSocketConnection(socket);
  await new Promise<void>((resolve, reject) => {
    let detail: string | undefined;
    const fail = (why: string): void => {
      clearTimeout(timer);
      const place = `${address.protocol}//${address.host}${address.pathname}`;
      const advice = "Check the address, that a pageferry listener is there, and that it admits this origin and token.";
      reject(new TransportError("connect-failed", `Cannot connect to ${place}: ${why}. ${advice}`));
    };
    const timer = setTimeout(() => {
      fail(`no answer within ${timeoutMs} ms`);
      socket.close();
    }, timeoutMs);
    socket.addEventListener("open", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.addEventListener("error", (event: { readonly message?: unknown }) => {
      if (typeof event.message === "string" && event.message !== "") detail = event.message;
    });
    socket.addEventListener("close", () => fail(detail ?? "it was refused or nobody answers"));
  });
  return connection;
}

/** Throws `argument` unless this can be a secret for a WebSocket listener. */
export function checkToken(token: string): void {
  // What may stand in a subprotocol's name, and long enough not to be guessed.
  if (typeof token !== "string" || !/^[\w.~-]{16,256}$/.test(token)) {
    throw new TransportError("argument", "A token must be 16 to 256 letters, digits, or characters of - . _ ~.");
  }
}

function checkUrl(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (address === undefined || !/^wss?:$/.test(address.protocol) || address.hash !== "") {
    throw new TransportError(
      "argument",
      "The address must be one of a WebSocket: ws://HOST:PORT/PATH, or wss: with TLS.",
    );
  }
  return address;
}

class WebSocketLink implements MessageLink {
  /** Larger than a MessagePort's, for the sake of long ways. */
  readonly windowBytes: number = 4 * 1024 * 1024;
  readonly pieceBytes: number = MAX_MESSAGE_BYTES - LINK_HEADER_BYTES;
  readonly #socket: WebSocketLike;

  constructor(socket: WebSocketLike, receiver: LinkReceiver) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => receiver.wake());
    socket.addEventListener("message", (event: { readonly data: unknown }) =>
      receiver.take(decodeLinkMessage(event.data)),
    );
    // Always followed by a close; but without a listener `ws` would throw.
    socket.addEventListener("error", () => {});
    socket.addEventListener("close", () => receiver.lose());
  }

  get hasRoom(): boolean {
    return this.#socket.readyState === OPEN && this.#socket.bufferedAmount <= MOST_WAITING_BYTES;
  }

  post(message: LinkMessage): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(encodeLinkMessage(message));
  }

  close(): void {
    this.#socket.close();
  }
}
