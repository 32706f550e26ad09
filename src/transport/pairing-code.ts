import { TransportError } from "./errors.js";

/** What one side of a WebRTC connection must know of the other. */
export interface PairingDescription {
  readonly kind: "offer" | "answer";
  /** Which offer it is, or is the answer to: 8 random bytes. */
  readonly session: Uint8Array;
  /** SHA-256 of the certificate that the side proves itself with, in DTLS. */
  readonly fingerprint: Uint8Array;
  /** The name and the password of ICE (RFC 8839). */
  readonly user: string;
  readonly password: string;
  /** Where the side can be reached, over UDP, the best first. */
  readonly addresses: readonly PairingAddress[];
}

/** One place where a side can be reached. */
export interface PairingAddress {
  /** An IP address, or a name of multicast DNS (`….local`), behind which browsers hide them. */
  readonly host: string;
  readonly port: number;
}

/**
 * A description as text to paste: `pageferry1.` and, in base64url, this; T is a length in one byte and so many ASCII characters:
 *
 *     offset  0     1         9             41     …           …
 *             kind | session | fingerprint | user T | password T | count | { host T, port u16 little-endian } × count | checksum
 *
 * The kind is 1 for an offer and 2 for an answer; the checksum is the first 4 bytes of the SHA-256 of everything before it. White space
 * anywhere in the text means nothing.
 */
const PREFIX = "pageferry";
const VERSION = "1";
const KINDS = { offer: 1, answer: 2 } as const;
export const SESSION_BYTES = 8;
const FINGERPRINT_BYTES = 32;
const CHECKSUM_BYTES = 4;
const MOST_ADDRESSES = 16;
const MOST_CHARACTERS = 8192;
const HOST: RegExp = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]*|[0-9a-z-]{1,63}\.local)$/i;
const USER: RegExp = /^[A-Za-z0-9+/]{4,255}$/;
const PASSWORD: RegExp = /^[A-Za-z0-9+/]{22,255}$/;

/** Whether an address can stand in a code: so nothing gets into the other side's SDP but an address. */
export function isPairingAddress({ host, port }: PairingAddress): boolean {
  return HOST.test(host) && host.length <= 255 && Number.isInteger(port) && port > 0 && port <= 65535;
}

/** The text for it; of many addresses only the first 16. */
export async function encodePairing({
  kind,
  session,
  fingerprint,
  user,
  password,
  addresses,
}: PairingDescription): Promise<string> {
  const bytes: number[] = [KINDS[kind], ...session, ...fingerprint];
  const pushText = (text: string): void => void bytes.push(text.length, ...new TextEncoder().encode(text));
  pushText(user);
  pushText(password);
  const best = addresses.slice(0, MOST_ADDRESSES);
  bytes.push(best.length);
  for (const { host, port } of best) {
    pushText(host);
    bytes.push(port & 0xff, port >> 8);
  }
  bytes.push(...(await checksum(Uint8Array.from(bytes))));
  const base64 = btoa(String.fromCharCode(...bytes));
  return `${PREFIX}${VERSION}.${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** What a code of this kind says. Throws `code-malformed`, saying what is wrong with it. */
export async function decodePairing(code: string, kind: PairingDescription["kind"]): Promise<PairingDescription> {
  const text = typeof code === "string" && code.length <= MOST_CHARACTERS ? code.replace(/[\s\u200b\ufeff]+/g, "") : "";
  const [, version, base64 = ""] = text.match(/^pageferry(\d{1,9})\.(.*)$/) ?? [];
  if (version === undefined) {
    throw malformed(`This is no code of pageferry: one begins with ${PREFIX}${VERSION}. Copy the whole code.`);
  }
  if (version !== VERSION) {
    throw malformed(
      `This code is of another version (${version}; this side knows ${VERSION}). Use the same pageferry at both sides.`,
    );
  }
  const bytes = /^[\w-]*$/.test(base64) ? fromBase64(base64) : undefined;
  const body = bytes?.subarray(0, -CHECKSUM_BYTES);
  if (bytes === undefined || body === undefined || !isSame(await checksum(body), bytes.subarray(body.length))) {
    throw malformed(
      "This code is damaged: something in it is missing or was changed on the way. Copy the whole code again.",
    );
  }
  const description = parse(body);
  if (description === undefined)
    throw malformed("This code is whole, but what it says makes no sense. Make a new one.");
  if (description.kind !== kind) {
    throw malformed(
      kind === "offer"
        ? "This is the code of an answer, where the code of an offer is wanted: that of the side that begins."
        : "This is the code of an offer, where the answer is wanted: the code that the other side shows after taking this side's offer.",
    );
  }
  return description;
}

/** Throws `code-malformed` unless the answer is one to this offer. */
export function checkSession(answer: PairingDescription, session: Uint8Array): void {
  if (!isSame(answer.session, session)) {
    throw malformed(
      "This is the answer to another offer. Give the other side the code that is shown here, and take its answer to that.",
    );
  }
}

function parse(body: Uint8Array): PairingDescription | undefined {
  let at = 0;
  const take = (length: number): Uint8Array => {
    const part = body.slice(at, at + length);
    at += length;
    return part;
  };
  const byte = (): number => take(1)[0] ?? 0;
  const text = (): string => String.fromCharCode(...take(byte()));
  const type = byte();
  const session = take(SESSION_BYTES);
  const fingerprint = take(FINGERPRINT_BYTES);
  const [user, password] = [text(), text()];
  const count = byte();
  if ((type !== KINDS.offer && type !== KINDS.answer) || count === 0 || count > MOST_ADDRESSES) return undefined;
  if (!USER.test(user) || !PASSWORD.test(password)) return undefined;
  const addresses = Array.from({ length: count }, () => ({ host: text(), port: byte() + 256 * byte() }));
  if (at !== body.length || !addresses.every(isPairingAddress)) return undefined;
  return { kind: type === KINDS.offer ? "offer" : "answer", session, fingerprint, user, password, addresses };
}

function fromBase64(text: string): Uint8Array | undefined {
  // One character over gives no byte.
  if (text.length % 4 === 1) return undefined;
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}

async function checksum(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice()), 0, CHECKSUM_BYTES);
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

function malformed(message: string): TransportError {
  return new TransportError("code-malformed", message);
}
