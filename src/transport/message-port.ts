import type { Connection } from "./connection.js";
import { creditedConnection, type LinkMessage, type LinkReceiver, type MessageLink } from "./credited.js";

/** What is needed of a MessagePort; both the browsers' and Node's have it. */
export interface MessagePortLike {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: string, listener: (event: Event) => void): void;
  start(): void;
  close(): void;
}

/**
 * A connection over a MessagePort whose other end has one too; the port belongs to the connection from now on. Where the runtime tells of a
 * closed port (Node does; older browsers do not), the connection is lost then.
 */
export function messagePortConnection(port: MessagePortLike): Connection {
  return creditedConnection((receiver) => new PortLink(port, receiver));
}

/** Bytes go as `{ type: "bytes", buffer }`, the buffer transferred; everything else as it is. */
class PortLink implements MessageLink {
  readonly windowBytes: number = 1024 * 1024;
  readonly pieceBytes: number = 128 * 1024;
  readonly hasRoom = true;
  readonly #port: MessagePortLike;

  constructor(port: MessagePortLike, receiver: LinkReceiver) {
    this.#port = port;
    port.addEventListener("message", (event) => receiver.take(cloneMessage((event as MessageEvent).data)));
    port.addEventListener("messageerror", () => receiver.take(undefined));
    port.addEventListener("close", () => receiver.lose());
    port.start();
  }

  post(message: LinkMessage): void {
    if (message.type !== "bytes") this.#port.postMessage(message, []);
    else this.#port.postMessage({ type: "bytes", buffer: message.bytes.buffer }, [message.bytes.buffer]);
  }

  close(): void {
    this.#port.close();
  }
}

/** The message in what structured cloning gives; undefined where there is none. */
export function cloneMessage(data: unknown): LinkMessage | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const { type, buffer, bytes } = data as { type?: unknown; buffer?: unknown; bytes?: unknown };
  if (type === "bytes") return buffer instanceof ArrayBuffer ? { type, bytes: new Uint8Array(buffer) } : undefined;
  if (type === "credit") return typeof bytes === "number" ? { type, bytes } : undefined;
  return type === "close" || type === "abort" ? { type } : undefined;
}
