import { describe, expect, it } from "vitest";
import { RelayError } from "../../src/relay/errors.js";
import { RelayReceiver } from "../../src/relay/receiver.js";
import { relaySend } from "../../src/relay/sender.js";
import type { Connection } from "../../src/transport/connection.js";
import { connectionPair } from "../../src/transport/pair.js";
import { loadChecksum } from "../../src/wire/checksum.js";
import { encodeFrame, type Frame, FrameParser } from "../../src/wire/frame.js";
import { RELAY_FRAME_MAX_BYTES, RelayFrameType } from "../../src/wire/relay-messages.js";
import { migrateTo, WaitingQemu } from "../support/qemu-socket.js";
import { makeStream } from "../support/qemu-stream.js";
import { Random } from "../support/random.js";
import { CodecPair } from "../support/relay-codec.js";

/** `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Math.min(Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 300), 20_000);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261128");
/** The seed of test/support/relay-codec.ts. */
const SEED_HEX = "0000000000000007";
const checksum = await loadChecksum();

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

/** A connection that keeps what is sent. */
class Recorder implements Connection {
  readonly peer: undefined = undefined;
  readonly frames: Frame[] = [];
  readonly #inner: Connection;
  readonly #parser = new FrameParser(checksum, RELAY_FRAME_MAX_BYTES);

  constructor(inner: Connection) {
    this.#inner = inner;
  }

  send(bytes: Uint8Array): Promise<void> {
    this.#parser.push(bytes.slice());
    for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) this.frames.push(frame);
    return this.#inner.send(bytes);
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#inner.receive();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  abort(reason: Error): void {
    this.#inner.abort(reason);
  }
}

function receiverFor(waiting: WaitingQemu): RelayReceiver {
  return new RelayReceiver({ machines: [{ name: "a", deliver: waiting.address }], cacheBytes: 1 << 20 });
}

/** What a source relay and a destination relay send in a session with one stream, in both directions. */
async function recordSession(waiting: WaitingQemu): Promise<readonly [readonly Frame[], readonly Frame[]]> {
  const ends = connectionPair().map((end) => new Recorder(end)) as unknown as [Recorder, Recorder];
  const received = receiverFor(waiting).receive(ends[1]);
  const machines = [{ name: "a", listen: { host: "127.0.0.1", port: 0 } }];
  const session = await relaySend({ connection: ends[0], machines, compression: "none" });
  const source = migrateTo(session.addresses[0] as { host: string; port: number });
  const target = await waiting.arrival();
  await source.write(makeStream({ seed: 1, rounds: 2, pagesPerRound: 8, blocks: [["pc.ram", 9]] }).bytes);
  source.socket.end();
  await target.ended;
  await target.write(new Random(1).bytes(40));
  target.socket.end();
  await source.closed;
  await session.close();
  await received;
  return [ends[0].frames, ends[1].frames];
}

/** Some frames changed, doubled, left out, swapped or of other types and channels; every checksum is right. */
function mutate(frames: readonly Frame[], random: Random): Uint8Array {
  const mutated = [...frames];
  for (let edits = 1 + random.below(3); edits > 0; edits--) {
    // The greeting only now and then: behind a refused one nothing is looked at.
    const at = random.below(8) === 0 ? 0 : 1 + random.below(mutated.length - 1);
    const frame = mutated[at] as Frame;
    switch (random.below(6)) {
      case 0:
        mutated.splice(at, 1);
        break;
      case 1:
        mutated.splice(at, 0, frame);
        break;
      case 2:
        mutated.splice(random.below(mutated.length), 0, ...mutated.splice(at, 1));
        break;
      case 3:
        mutated[at] = { ...frame, type: 1 + random.below(12) };
        break;
      case 4:
        mutated[at] = { ...frame, channel: random.below(3) };
        break;
      default:
        mutated[at] = { ...frame, body: random.mutate(frame.body) };
    }
    if (mutated.length < 2) break;
  }
  return Buffer.concat(mutated.map(({ type, channel, body }) => encodeFrame(checksum, type, channel, body)));
}

/** Feeds the bytes to one end, whose session is over in the end; returns why. */
async function feed(peer: Connection, bytes: Uint8Array, session: Promise<unknown>): Promise<unknown> {
  const drained = (async () => {
    while ((await peer.receive()) !== undefined);
  })().catch(() => {});
  await peer.send(bytes).catch(() => {});
  await peer.close().catch(() => {});
  const outcome = await session.then(
    () => undefined,
    (error) => error,
  );
  await drained;
  return outcome;
}

function checkOutcome(outcome: unknown): void {
  if (outcome === undefined) return;
  if (!(outcome instanceof RelayError)) throw outcome;
  expect(outcome.message.length).toBeLessThan(5000);
}

describe(`a relay whose peer is hostile, from seed ${SEED}`, () => {
  it(`${CASES} sessions are ended with a typed error, or come to their end; the destination delivers what it should, or nothing more`, async () => {
    const waiting = await WaitingQemu.listen();
    const [frames] = await recordSession(waiting);
    const random = new Random(SEED);
    let failed = 0;
    for (let done = 0; done < CASES; done++) {
      const [near, far] = connectionPair();
      const receiver = receiverFor(waiting);
      const outcome = await feed(far, mutate(frames, random), receiver.receive(near));
      checkOutcome(outcome);
      if (outcome !== undefined) failed++;
    }
    expect(failed).toBeGreaterThan(CASES / 4);
    waiting.close();
  });

  it(`${CASES} sources end in the same way`, async () => {
    const waiting = await WaitingQemu.listen();
    const [, frames] = await recordSession(waiting);
    const random = new Random(SEED + 1);
    let failed = 0;
    for (let done = 0; done < CASES; done++) {
      const [near, far] = connectionPair();
      const machines = [{ name: "a", listen: { host: "127.0.0.1", port: 0 } }];
      const run = async (): Promise<void> => {
        const session = await relaySend({ connection: near, machines });
        const source = migrateTo(session.addresses[0] as { host: string; port: number });
        source.socket.write("QEVM");
        await session.ended;
        await source.closed;
      };
      // Of a peer that is gone nothing is heard before a stream is open: the type of the first frame decides.
      const outcome = await feed(far, mutate(frames, random), run());
      checkOutcome(outcome);
      if (outcome !== undefined) failed++;
    }
    expect(failed).toBeGreaterThan(CASES / 4);
    waiting.close();
  });

  it("does not let more of a stream come than the window, whatever the peer says", async () => {
    const waiting = await WaitingQemu.listen();
    const [near, far] = connectionPair();
    const receiving = receiverFor(waiting).receive(near);
    receiving.catch(() => {});
    const greeting = { protocol: "pageferry-relay", versions: [1, 1], machines: ["a"], cacheBytes: 0, seed: SEED_HEX };
    const send = (type: number, channel: number, body: Uint8Array): Promise<void> =>
      far.send(encodeFrame(checksum, type, channel, body)).catch(() => {});
    await send(RelayFrameType.hello, 0, Buffer.from(JSON.stringify(greeting)));
    await send(RelayFrameType.open, 1, Buffer.from(JSON.stringify({ machine: "a" })));
    const target = await waiting.arrival();
    target.socket.pause();
    const stream = new CodecPair([], "none").stream("a");
    await stream.pass(new Random(2).bytes(36 << 20), true);
    for (const body of stream.bodies) await send(RelayFrameType.data, 1, body);
    await expect(receiving).rejects.toEqual(expect.objectContaining({ code: "protocol" }));
    waiting.close();
  });
});
