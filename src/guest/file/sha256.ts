/** A SHA-256, 32 bytes; in browsers only promised. */
export type Digest = Uint8Array | Promise<Uint8Array>;

/** SHA-256 over pieces that follow each other, themselves perhaps promised. */
export interface DigestStream {
  add(piece: Digest): void;
  finish(): Digest;
}

/** SHA-256 by whatever the runtime has. The bytes may change as soon as a call has returned. */
export interface Sha256 {
  of(bytes: Uint8Array): Digest;
  stream(): DigestStream;
}

/** What newer versions of node:crypto have; in a type of its own, so that nothing here depends on Node's. */
interface NodeCrypto {
  hash(algorithm: string, bytes: Uint8Array, encoding: "buffer"): Uint8Array;
  createHash(algorithm: string): { update(bytes: Uint8Array): unknown; digest(): Uint8Array };
}

let found: Sha256 | undefined;

/** SHA-256 from node:crypto, which answers at once, or else from WebCrypto. */
export function sha256(): Sha256 {
  found ??= nodeSha256() ?? webSha256;
  return found;
}

function nodeSha256(): Sha256 | undefined {
  // Not an import: bundlers for the browser would stumble over it.
  const node = globalThis.process?.getBuiltinModule?.("node:crypto") as unknown as NodeCrypto | undefined;
  if (node?.hash === undefined) return undefined;
  return {
    of: (bytes) => node.hash("sha256", bytes, "buffer"),
    stream() {
      const hash = node.createHash("sha256");
      return { add: (piece) => void hash.update(piece as Uint8Array), finish: () => hash.digest() };
    },
  };
}

/** WebCrypto, which knows no streams: the pieces are collected. */
export const webSha256: Sha256 = {
  // WebCrypto copies what it is given before it returns.
  of: async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)),
  stream() {
    const pieces: Digest[] = [];
    return {
      add: (piece) => void pieces.push(piece),
      async finish() {
        const bytes = await Promise.all(pieces);
        return webSha256.of(new Uint8Array(await new Blob(bytes as Uint8Array<ArrayBuffer>[]).arrayBuffer()));
      },
    };
  },
};
