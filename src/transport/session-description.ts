import { isPairingAddress, type PairingAddress, type PairingDescription } from "./pairing-code.js";

/** What of a browser's own session description (SDP, RFC 8866 and 8841) the other side must know; undefined where something is missing. */
export function readSdp(
  sdp: string,
): Pick<PairingDescription, "fingerprint" | "user" | "password" | "addresses"> | undefined {
  const field = (pattern: RegExp): string | undefined => sdp.match(pattern)?.[1];
  const fingerprint = field(/^a=fingerprint:sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})\r?$/im);
  const user = field(/^a=ice-ufrag:(\S+)/m);
  const password = field(/^a=ice-pwd:(\S+)/m);
  if (fingerprint === undefined || user === undefined || password === undefined) return undefined;
  const addresses: PairingAddress[] = [];
  for (const [, host, port] of sdp.matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host/gim)) {
    const address = { host: host as string, port: Number(port) };
    if (isPairingAddress(address)) addresses.push(address);
  }
  return {
    fingerprint: Uint8Array.from(fingerprint.split(":"), (byte) => Number.parseInt(byte, 16)),
    user,
    password,
    addresses,
  };
}

/** The session description of a side that has nothing but one data channel. */
export function writeSdp({ kind, fingerprint, user, password, addresses }: PairingDescription): string {
  const hex = Array.from(fingerprint, (byte) => byte.toString(16).padStart(2, "0").toUpperCase());
  return [
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    `a=ice-ufrag:${user}`,
    `a=ice-pwd:${password}`,
    `a=fingerprint:sha-256 ${hex.join(":")}`,
    `a=setup:${kind === "offer" ? "actpass" : "active"}`,
    "a=mid:0",
    "a=sctp-port:5000",
    "a=max-message-size:262144",
    // RFC 8445, 5.1.2.1: the priority of a host candidate, falling in the order they are in.
    ...addresses.map(
      ({ host, port }, index) => `a=candidate:${index + 1} 1 udp ${2130706431 - 256 * index} ${host} ${port} typ host`,
    ),
    "a=end-of-candidates",
    "",
  ].join("\r\n");
}
