import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection } from "../../src/transport/connection.js";
import { TransportError } from "../../src/transport/errors.js";
import { resumableConnect } from "../../src/transport/resumable.js";
import { ResumableAcceptor } from "../../src/transport/resumable-acceptor.js";
import { OPENING_BYTES } from "../../src/wire/resume.js";
import { expectSameBytes } from "../support/bytes.js";
import { CUTS, TestLink } from "../support/links.js";
import { Random } from "../support/random.js";
import { inTime } from "../support/resumable.js";

const PLAYS = 150;
/** So many links meet a fault, and then no more: everything comes to an end. */
const FAULTY_LINKS = 20;
const CONNECT_BYTES = 200;
const refused = new TransportError("connect-failed", "Nobody is there at the moment.");

/** The links of one play: cut at random bytes and times, refused, late; and old openings come again. */
class Faults {
  readonly #random: Random;
  readonly #acceptor: ResumableAcceptor;
  readonly #openings: Uint8Array[] = [];
  links = 0;
  cuts = 0;

  constructor(random: Random, acceptor: ResumableAcceptor) {
    this.#random = random;
    this.#acceptor = acceptor;
  }

  readonly dial = async (): Promise<Connection> => {
    const random = this.#random;
    const isFaulty = this.links++ < FAULTY_LINKS;
    if (this.links > 1) {
      await this.#wait(random.below(3) * random.below(40));
      if (isFaulty && random.below(5) === 0) throw refused;
      if (random.below(3) === 0) this.#repeatOpening();
    }
    const link = isFaulty ? this.#faultyLink() : new TestLink();
    this.#acceptor.accept(link.there);
    return this.#recorded(link.here);
  };

  #faultyLink(): TestLink {
    const random = this.#random;
    const how = CUTS[random.below(CUTS.length)];
    // The first one has to get through its opening. Others are cut in it, soon behind it, or after a while.
    const least = this.links === 1 ? CONNECT_BYTES : 0;
    const budget = least + random.below([150, 3000, 200_000][random.below(3)] as number);
    const link = new TestLink(budget, how);
    if (random.below(3) === 0) {
      this.#wait(20 + random.below(300)).then(() => {
        if (!link.isCut) link.cut(how ?? "reset");
      });
    }
    this.cuts += 1;
    return link;
  }

  /** Notes the openings. */
  #recorded(inner: Connection): Connection {
    const send = inner.send.bind(inner);
    inner.send = (bytes) => {
      if (bytes.length === OPENING_BYTES) this.#openings.push(bytes.slice());
      return send(bytes);
    };
    return inner;
  }

  /** An opening that was held up on its way, or that somebody has seen and says again. */
  #repeatOpening(): void {
    const opening = this.#openings[this.#random.below(this.#openings.length)] as Uint8Array;
    const link = new TestLink();
    this.#acceptor.accept(link.there);
    link.here.send(opening).catch(() => {});
  }

  #wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}

async function sendAll(connection: Connection, bytes: Uint8Array, random: Random): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const length = random.below([3, 400, 60_000][random.below(3)] as number);
    const sending = connection.send(bytes.subarray(at, at + length));
    at += length;
    if (random.below(4) > 0) await sending;
    if (random.below(12) === 0) await new Promise((resolve) => setTimeout(resolve, random.below(60)));
  }
  await connection.close();
}

async function receiveAll(connection: Connection, expected: Uint8Array, random: Random): Promise<void> {
  let received = 0;
  for (let chunk = await connection.receive(); chunk !== undefined; chunk = await connection.receive()) {
    expectSameBytes(chunk, expected.subarray(received, received + chunk.length));
    received += chunk.length;
    if (random.below(20) === 0) await new Promise((resolve) => setTimeout(resolve, random.below(100)));
  }
  expect(received).toBe(expected.length);
}

/** Sends and receives at both sides while faults are met; the number of them. */
async function play(seed: number): Promise<number> {
  const random = new Random(seed);
  vi.spyOn(Math, "random").mockImplementation(() => random.below(1 << 20) / (1 << 20));
  let arrive: (connection: Connection) => void = () => {};
  const arrived = new Promise<Connection>((resolve) => {
    arrive = resolve;
  });
  const options = { silenceMs: 200, giveUpMs: 300_000, replayBytes: [0, 5000, 8 << 20][random.below(3)] as number };
  const acceptor = new ResumableAcceptor(options, arrive);
  const faults = new Faults(random, acceptor);
  const left = await resumableConnect(faults.dial, options);
  const right = await arrived;
  const [there, back] = [random.memoryLike(random.below(400_000)), random.memoryLike(random.below(400_000))];
  const rolls = Array.from({ length: 4 }, (_, index) => new Random(seed * 10 + index)) as [
    Random,
    Random,
    Random,
    Random,
  ];
  await inTime(
    Promise.all([
      sendAll(left, there, rolls[0]),
      sendAll(right, back, rolls[1]),
      receiveAll(right, there, rolls[2]),
      receiveAll(left, back, rolls[3]),
    ]),
  );
  await vi.advanceTimersByTimeAsync(20_000);
  expect(vi.getTimerCount(), "timers that are left").toBe(0);
  return faults.cuts;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("a resumable connection under faults", () => {
  it(`loses nothing and doubles nothing (${PLAYS} plays)`, async () => {
    let cuts = 0;
    for (let seed = 1; seed <= PLAYS; seed++) {
      try {
        cuts += await play(seed);
      } catch (cause) {
        throw new Error(`The play of seed ${seed}`, { cause });
      }
    }
    expect(cuts).toBeGreaterThan(PLAYS * 3);
  });
});
