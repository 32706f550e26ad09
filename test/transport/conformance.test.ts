import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Connection } from "../../src/transport/connection.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";
import { allEnds } from "./ends.js";

const coded = (code: string): unknown => expect.objectContaining({ name: "TransportError", code });
const over = new Error("the test is over");

/** The next bytes, exactly so many, however they arrive; what is over stays with the reader. */
class Reader {
  readonly #connection: Connection;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      if (this.#rest.length === 0) {
        const chunk = await this.#connection.receive();
        if (chunk === undefined) throw new Error(`The end after ${at} of ${length} bytes`);
        expect(chunk.length).toBeGreaterThan(0);
        this.#rest = chunk;
      }
      const part = this.#rest.subarray(0, length - at);
      bytes.set(part, at);
      this.#rest = this.#rest.subarray(part.length);
      at += part.length;
    }
    return bytes;
  }
}

describe.each(allEnds)("a connection: $name", ({ open, bufferedBytes }) => {
  let left: Connection;
  let right: Connection;
  beforeEach(async () => {
    [left, right] = await open();
  });
  afterEach(() => {
    left.abort(over);
    right.abort(over);
  });

  it("carries bytes in order in both directions at once, however they are cut", async () => {
    const random = new Random(1);
    const [there, back] = [random.memoryLike(300_000), random.memoryLike(200_000)];
    const sendAll = async (connection: Connection, bytes: Uint8Array): Promise<void> => {
      for (let at = 0; at < bytes.length; ) {
        const length = random.below(4) === 0 ? random.below(3) : random.below(40_000);
        await connection.send(bytes.subarray(at, at + length));
        at += length;
      }
    };
    const [gotThere, gotBack] = await Promise.all([
      new Reader(right).read(there.length),
      new Reader(left).read(back.length),
      sendAll(left, there),
      sendAll(right, back),
    ]);
    expectSameBytes(gotThere, there);
    expectSameBytes(gotBack, back);
  });

  it("carries more than it buffers, in one piece and without waiting for the promises", async () => {
    const large = new Random(2).memoryLike(1 << 20);
    const reader = new Reader(right);
    const whole = new Uint8Array(6 * large.length);
    for (let copy = 0; copy < 6; copy++) whole.set(large, copy * large.length);
    const sending = Promise.all([left.send(whole), left.send(large), left.send(Uint8Array.of(1, 2, 3))]);
    expectSameBytes(await reader.read(whole.length), whole);
    expectSameBytes(await reader.read(large.length), large);
    expectSameBytes(await reader.read(3), Uint8Array.of(1, 2, 3));
    await sending;
  });

  it("holds a sender back whose peer does not read, and lets it go on when it does", async () => {
    const chunk = new Uint8Array(256 * 1024).fill(5);
    let sentBytes = 0;
    let isStopped = false;
    const sending = (async () => {
      while (sentBytes <= 2 * bufferedBytes && !isStopped) {
        await left.send(chunk);
        sentBytes += chunk.length;
      }
      await left.close();
    })();
    await settled(() => sentBytes);
    expect(sentBytes).toBeLessThanOrEqual(bufferedBytes);
    isStopped = true;
    let received = 0;
    for (let got = await right.receive(); got !== undefined; got = await right.receive()) received += got.length;
    await sending;
    expect(received).toBe(sentBytes);
  });

  it("sends bytes as they were at the call, also of Node's buffers and of shared memory", async () => {
    const sources = [
      new Uint8Array(700_000),
      Buffer.alloc(700_000),
      Buffer.from("short, so from the pool of buffers"),
      new Uint8Array(new SharedArrayBuffer(700_000)),
    ];
    const reader = new Reader(right);
    for (const source of sources) {
      source.fill(1);
      const first = left.send(source);
      source.fill(2);
      const second = left.send(source);
      source.fill(3);
      expectSameBytes(await reader.read(source.length), new Uint8Array(source.length).fill(1));
      expectSameBytes(await reader.read(source.length), new Uint8Array(source.length).fill(2));
      await Promise.all([first, second]);
    }
  });

  it("gives chunks that are the receiver's alone", async () => {
    const source = new Uint8Array(1000).fill(1);
    await left.send(source);
    const chunk = (await right.receive()) as Uint8Array;
    chunk.fill(9);
    expect(source[0]).toBe(1);
    expect(chunk.constructor).toBe(Uint8Array);
    structuredClone(chunk, { transfer: [chunk.buffer] });
  });

  it("passes nothing on for a send of no bytes", async () => {
    await left.send(new Uint8Array(0));
    await left.send(Uint8Array.of(7));
    await left.send(new Uint8Array(0));
    await left.close();
    expect(await right.receive()).toEqual(Uint8Array.of(7));
    expect(await right.receive()).toBeUndefined();
  });

  it("refuses to send what is no Uint8Array, and goes on", async () => {
    for (const wrong of ["text", new ArrayBuffer(4), undefined, [1, 2]]) {
      await expect(left.send(wrong as unknown as Uint8Array)).rejects.toEqual(coded("argument"));
    }
    await left.send(Uint8Array.of(1));
    expect(await right.receive()).toEqual(Uint8Array.of(1));
  });

  it("refuses a second receive while one is waiting, which goes on", async () => {
    const first = right.receive();
    await expect(right.receive()).rejects.toEqual(coded("argument"));
    await left.send(Uint8Array.of(4));
    expect(await first).toEqual(Uint8Array.of(4));
  });

  it("closes in order: everything sent arrives, then the end, again and again", async () => {
    const bytes = new Random(3).memoryLike(500_000);
    const sending = left.send(bytes);
    const closing = left.close();
    expectSameBytes(await new Reader(right).read(bytes.length), bytes);
    expect(await right.receive()).toBeUndefined();
    expect(await right.receive()).toBeUndefined();
    await sending;
    await closing;
    await left.close();
    await right.close();
    expect(await left.receive()).toBeUndefined();
  });

  it("can still receive after its own close, and the peer send", async () => {
    await left.close();
    expect(await right.receive()).toBeUndefined();
    const bytes = new Random(4).memoryLike(3_000_000);
    const reading = new Reader(left).read(bytes.length);
    await right.send(bytes);
    await right.close();
    expectSameBytes(await reading, bytes);
    expect(await left.receive()).toBeUndefined();
  });

  it("tells a waiting receive of the end", async () => {
    const waiting = right.receive();
    await left.close();
    expect(await waiting).toBeUndefined();
  });

  it("sends nothing after its own close", async () => {
    const closing = left.close();
    await expect(left.send(Uint8Array.of(1))).rejects.toEqual(coded("closed"));
    await closing;
    await expect(left.send(Uint8Array.of(1))).rejects.toEqual(coded("closed"));
    await right.close();
    expect(await left.receive()).toBeUndefined();
    await expect(left.send(Uint8Array.of(1))).rejects.toEqual(coded("closed"));
  });

  it("rejects everything that waits, and everything later, with the reason of its abort", async () => {
    const reason = new Error("enough");
    const waiting = [left.receive(), sendUntilHeld(left)];
    left.abort(reason);
    left.abort(new Error("too late"));
    for (const call of waiting) await expect(call).rejects.toBe(reason);
    await expect(left.receive()).rejects.toBe(reason);
    await expect(left.send(Uint8Array.of(1))).rejects.toBe(reason);
    await expect(left.close()).rejects.toBe(reason);
  });

  it("is lost when the peer aborts, for what waits and for everything later", async () => {
    const held = sendUntilHeld(right);
    held.catch(() => {});
    await left.send(Uint8Array.of(1));
    await right.receive();
    const waiting = right.receive();
    left.abort(new Error("a secret of this side"));
    await expect(waiting).rejects.toEqual(coded("connection-lost"));
    await expect(held).rejects.toEqual(coded("connection-lost"));
    await expect(right.receive()).rejects.toEqual(coded("connection-lost"));
    await expect(right.send(Uint8Array.of(1))).rejects.toEqual(coded("connection-lost"));
    await expect(right.close()).rejects.toEqual(coded("connection-lost"));
  });

  it("is lost, not ended, when the peer aborts while both are sending", async () => {
    for (let round = 0; round < 6; round++) {
      const [aborting, other] = await open();
      const sending = [sendUntilHeld(aborting), sendUntilHeld(other)];
      for (const send of sending) send.catch(() => {});
      for (let read = 0; read < round; read++) await Promise.all([aborting.receive(), other.receive()]);
      aborting.abort(over);
      const readOn = async (): Promise<void> => {
        while ((await other.receive()) !== undefined);
      };
      await expect(readOn()).rejects.toEqual(coded("connection-lost"));
      await expect(sending[0]).rejects.toBe(over);
      await expect(sending[1]).rejects.toEqual(coded("connection-lost"));
    }
  });

  it("is lost, not ended, when an idle peer aborts", async () => {
    const waiting = right.receive();
    left.abort(over);
    await expect(waiting).rejects.toEqual(coded("connection-lost"));
  });
});

/** Sends until the connection is lost or aborted: so one send or another is always waiting. */
async function sendUntilHeld(connection: Connection): Promise<void> {
  const chunk = new Uint8Array(1 << 20);
  for (;;) await connection.send(chunk);
}

/** Waits until a number has stayed the same over many turns of the event loop. */
async function settled(value: () => number): Promise<void> {
  let last = Number.NaN;
  for (let same = 0; same < 20; same = value() === last ? same + 1 : 0) {
    last = value();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
