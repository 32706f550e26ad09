/** Who is at the other end, as far as the transport has proven it. */
export interface Peer {
  /** The name that the peer's certificate gives it. */
  readonly name: string;
  /** SHA-256 of the peer's certificate, as 64 lower-case hex digits. */
  readonly fingerprint: string;
}

/**
 * An ordered, reliable stream of bytes in both directions. Where a chunk ends means nothing: what was sent in one piece may arrive in
 * several, and several in one.
 */
export interface Connection {
  /** Undefined where the transport proves nothing about the peer. */
  readonly peer: Peer | undefined;
  /**
   * Sends bytes, as they are at the time of the call: the caller may change them once it returns. The promise resolves when more may be sent
   * (back-pressure) and rejects with a {@link TransportError} when the connection is lost.
   */
  send(bytes: Uint8Array): Promise<void>;
  /** The same for bytes that stay as they are until the other side has received them: no snapshot is taken. See {@link sendSteady}. */
  sendSteady?(bytes: Uint8Array): Promise<void>;
  /** The next chunk, which is the caller's; undefined after the peer's {@link close}. One call at a time. Rejects when the connection is lost. */
  receive(): Promise<Uint8Array | undefined>;
  /** Ends the connection in order: resolves when everything sent has been passed on. Calling it again changes nothing. */
  close(): Promise<void>;
  /** Breaks the connection at once, in both directions; waiting calls reject with `reason`. */
  abort(reason: Error): void;
}

/** Sends bytes that stay as they are until the other side has received them, without a snapshot where the connection can do without. */
export function sendSteady(connection: Connection, bytes: Uint8Array): Promise<void> {
  return connection.sendSteady?.(bytes) ?? connection.send(bytes);
}
