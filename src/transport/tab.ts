import { checkNumber, DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS } from "./check.js";
import type { Connection } from "./connection.js";
import { creditedConnection, type LinkMessage, type LinkReceiver, type MessageLink } from "./credited.js";
import { TransportError } from "./errors.js";
import { cloneMessage } from "./message-port.js";
import { holdLock, whenLockIsFree } from "./tab-lock.js";

/** Options of {@link openTabConnection}. */
export interface TabOptions {
  /** How long to wait for the other tab, in ms. Default: 10,000. */
  readonly timeoutMs?: number;
}

/**
 * What tabs say to each other in the channel of a name until they have found each other. Of two that have seen each other, the one with the lower
 * id asks (`pair`), so that never both do; `taken` is the answer to all others.
 *
 *     new tab       hello ─▶ all
 *     lower id      pair ─▶ the other ─▶ paired ─▶ the lower
 */
interface Call {
  readonly type: "hello" | "pair" | "paired" | "taken";
  readonly from: string;
  /** Undefined: all. */
  readonly to?: string | undefined;
}

const MAX_NAME_LENGTH = 256;

/**
 * A connection to another tab, frame or worker of this browser that opens one with the same name and is of the same origin. The name should be a
 * random code that only those two know. Where a tab is closed, goes elsewhere or crashes, the connection is lost at the other end at once.
 *
 * Rejects with `connect-failed` where nobody else comes in time, or two others have the name already.
 */
export async function openTabConnection(
  name: string,
  { timeoutMs = DEFAULT_TIMEOUT_MS }: TabOptions = {},
): Promise<Connection> {
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME_LENGTH) {
    throw new TransportError("argument", `The name must be a text of 1 to ${MAX_NAME_LENGTH} characters.`);
  }
  checkNumber("timeoutMs", timeoutMs, 1, MAX_TIMEOUT_MS);
  if (typeof BroadcastChannel === "undefined") {
    throw new TransportError(
      "connect-failed",
      "This browser does not let tabs speak to each other (BroadcastChannel).",
    );
  }
  const id = crypto.randomUUID();
  const release = await holdLock(lockName(name, id));
  const meeting = new Meeting(name, id, release);
  return await meeting.partner(timeoutMs);
}

class Meeting {
  readonly #name: string;
  readonly #id: string;
  readonly #channel: BroadcastChannel;
  readonly #release: () => void;
  #partner: { readonly id: string; readonly connection: Connection } | undefined;
  /** Whether the partner has agreed. */
  #isPaired = false;
  #resolve: (connection: Connection) => void = () => {};
  #reject: (error: TransportError) => void = () => {};

  constructor(name: string, id: string, release: () => void) {
    this.#name = name;
    this.#id = id;
    this.#release = release;
    this.#channel = new BroadcastChannel(`pageferry ${name}`);
  }

  partner(timeoutMs: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#reject(failed(`No other tab has opened the connection within ${timeoutMs} ms.`));
      }, timeoutMs);
      this.#resolve = (connection) => {
        clearTimeout(timer);
        resolve(connection);
      };
      this.#reject = (error) => {
        clearTimeout(timer);
        this.#partner?.connection.abort(error);
        this.#leave();
        reject(error);
      };
      this.#channel.addEventListener("message", ({ data }) => {
        const call = callIn(data);
        if (call !== undefined && (call.to === undefined || call.to === this.#id)) this.#take(call);
      });
      this.#call("hello");
    });
  }

  #take({ type, from }: Call): void {
    const partner = this.#partner;
    if (type === "taken") {
      if (!this.#isPaired) {
        this.#reject(
          failed("Two other tabs are connected by this name already. Open a new connection, with another name."),
        );
      }
    } else if (partner === undefined) {
      if (type !== "paired") this.#meet(type, from);
    } else if (from === partner.id) {
      if (type === "paired") this.#settle(partner.connection);
    } else if (type === "pair" || this.#isPaired) {
      // A newcomer's hello is left to the one that is asked, as long as that has not answered.
      this.#call("taken", from);
    }
  }

  #settle(connection: Connection): void {
    this.#isPaired = true;
    this.#resolve(connection);
  }

  #meet(type: "hello" | "pair", from: string): void {
    if (type === "pair") {
      const { connection } = this.#join(from);
      this.#call("paired", from);
      this.#settle(connection);
    } else if (this.#id < from) {
      // Listens already when the other one hears of it.
      this.#join(from);
      this.#call("pair", from);
    } else {
      this.#call("hello", from);
    }
  }

  /** The two go on in a channel of their own; this one stays open to turn others away. */
  #join(id: string): { readonly connection: Connection } {
    const [low, high] = [this.#id, id].sort();
    const channel = new BroadcastChannel(`pageferry ${this.#name} ${low} ${high}`);
    const connection = creditedConnection(
      (receiver) => new TabLink(channel, receiver, lockName(this.#name, id), () => this.#leave()),
    );
    this.#partner = { id, connection };
    return this.#partner;
  }

  #call(type: Call["type"], to?: string): void {
    this.#channel.postMessage({ type, from: this.#id, to } satisfies Call);
  }

  #leave(): void {
    this.#channel.close();
    this.#release();
  }
}

class TabLink implements MessageLink {
  readonly windowBytes: number = 1024 * 1024;
  readonly pieceBytes: number = 128 * 1024;
  readonly hasRoom = true;
  readonly #channel: BroadcastChannel;
  readonly #over: AbortController = new AbortController();
  readonly #onClose: () => void;

  constructor(channel: BroadcastChannel, receiver: LinkReceiver, peerLock: string, onClose: () => void) {
    this.#channel = channel;
    this.#onClose = onClose;
    const { signal } = this.#over;
    channel.addEventListener("message", ({ data }) => receiver.take(cloneMessage(data)));
    channel.addEventListener("messageerror", () => receiver.take(undefined));
    // Also where there are no locks; workers never hear of it.
    const leave = (): void => {
      this.post({ type: "abort" });
      receiver.lose();
    };
    globalThis.addEventListener?.("pagehide", leave, { signal });
    whenLockIsFree(peerLock, signal, () => receiver.lose());
  }

  post(message: LinkMessage): void {
    if (this.#over.signal.aborted) return;
    this.#channel.postMessage(message.type === "bytes" ? { type: "bytes", buffer: message.bytes.buffer } : message);
  }

  close(): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#channel.close();
    this.#onClose();
  }
}

function lockName(name: string, id: string): string {
  return `pageferry ${name} ${id}`;
}

function callIn(data: unknown): Call | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const { type, from, to } = data as { type?: unknown; from?: unknown; to?: unknown };
  if (type !== "hello" && type !== "pair" && type !== "paired" && type !== "taken") return undefined;
  if (typeof from !== "string" || (to !== undefined && typeof to !== "string")) return undefined;
  return { type, from, to };
}

function failed(message: string): TransportError {
  return new TransportError("connect-failed", message);
}
