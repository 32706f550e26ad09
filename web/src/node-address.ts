/** Where a process of Node takes and gives machines, as `pageferry serve` prints it: `ws://HOST:PORT/#TOKEN`. */
export interface NodeAddress {
  /** The address of one of its paths. */
  readonly url: string;
  /** Undefined where the address has none. */
  readonly token: string | undefined;
}

/** Reads an address, for a path such as `arrivals`; undefined where it is none. A browser never sends what stands behind the `#` by itself. */
export function readNodeAddress(text: string, path: string): NodeAddress | undefined {
  const trimmed = text.trim();
  if (!URL.canParse(trimmed)) return undefined;
  const url = new URL(trimmed);
  if (url.protocol !== "ws:" && url.protocol !== "wss:") return undefined;
  const token = url.hash.slice(1);
  url.hash = "";
  url.pathname = `${url.pathname.replace(/\/$/, "")}/${path}`;
  return { url: url.href, token: token === "" ? undefined : token };
}
