import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { TransportError } from "../../src/transport/errors.js";
import { decodeLinkMessage, encodeLinkMessage } from "../../src/transport/link-frame.js";
import { decodePairing, encodePairing, type PairingDescription } from "../../src/transport/pairing-code.js";
import { readSdp, writeSdp } from "../../src/transport/session-description.js";
import { Random } from "../support/random.js";

/** Cases of each kind. `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 20_000);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261125");
const PREFIX = "pageferry1.";

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

const DESCRIPTION: PairingDescription = {
  kind: "offer",
  session: new Random(SEED).bytes(8),
  fingerprint: new Random(SEED + 1).bytes(32),
  user: "aB3+",
  password: "abcdefghijklmnopqrstuv/1",
  addresses: [
    { host: "192.168.1.20", port: 50_000 },
    { host: "fe80::1", port: 50_001 },
    { host: "5a1c0d9e-0000-4000-8000-000000000000.local", port: 9 },
  ],
};

/** What a code says; undefined where it is refused, as it may be. */
async function saidBy(code: string): Promise<PairingDescription | undefined> {
  try {
    return await decodePairing(code, "offer");
  } catch (error) {
    if (!(error instanceof TransportError) || error.code !== "code-malformed") throw error;
    if (error.message.length > 200) expect.fail(error.message);
    return undefined;
  }
}

/** The body as a code, with a checksum that is right for it. */
function codeOf(body: Uint8Array): string {
  const sum = createHash("sha256").update(body).digest().subarray(0, 4);
  return PREFIX + Buffer.concat([body, sum]).toString("base64url");
}

describe(`mutated codes and frames from seed ${SEED}`, () => {
  it(`${CASES} codes damaged on their way say nothing else than they said`, async () => {
    const random = new Random(SEED);
    const text = new TextEncoder().encode(await encodePairing(DESCRIPTION));
    for (let done = 0; done < CASES; done++) {
      const said = await saidBy(String.fromCharCode(...random.mutate(text)));
      if (said !== undefined) expect(said).toEqual(DESCRIPTION);
    }
  });

  it(`${CASES} codes made by somebody hostile put nothing but addresses into a session description`, async () => {
    const random = new Random(SEED + 2);
    const code = await encodePairing(DESCRIPTION);
    const body = new Uint8Array(Buffer.from(code.slice(PREFIX.length), "base64url").subarray(0, -4));
    const lines = writeSdp(DESCRIPTION).split("\r\n").length - DESCRIPTION.addresses.length;
    let accepted = 0;
    for (let done = 0; done < CASES; done++) {
      const said = await saidBy(codeOf(random.mutate(body)));
      if (said === undefined) continue;
      accepted++;
      const sdp = writeSdp(said);
      expect(sdp.split(/[\r\n]+/).length).toBe(lines + said.addresses.length);
      const { kind: _, session: __, ...rest } = said;
      expect(readSdp(sdp)).toEqual(rest);
    }
    expect(accepted).toBeGreaterThan(CASES / 100);
    expect(accepted).toBeLessThan(CASES);
  });

  it(`${CASES} frames of a link are what they say, or none`, () => {
    const random = new Random(SEED + 3);
    let known = 0;
    for (let done = 0; done < CASES; done++) {
      const frame = random.bytes(random.below(8));
      if (frame.length > 0) frame[0] = random.below(6);
      const message = decodeLinkMessage(frame.slice().buffer);
      if (message === undefined) continue;
      known++;
      expect(Buffer.compare(encodeLinkMessage(message), frame)).toBe(0);
    }
    expect(known).toBeGreaterThan(CASES / 10);
    expect(decodeLinkMessage("bytes")).toBeUndefined();
  });
});
