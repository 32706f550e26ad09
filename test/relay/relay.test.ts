import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { RelayError } from "../../src/relay/errors.js";
import { RelayReceiver } from "../../src/relay/receiver.js";
import type { RelayReport } from "../../src/relay/report.js";
import { relaySend } from "../../src/relay/sender.js";
import { StreamDecoder } from "../../src/relay/stream-decoder.js";
import { connectionPair } from "../../src/transport/pair.js";
import { loadChecksum } from "../../src/wire/checksum.js";
import { encodeFrame } from "../../src/wire/frame.js";
import { RelayFrameType } from "../../src/wire/relay-messages.js";
import { expectSameBytes } from "../support/bytes.js";
import { migrateTo, WaitingQemu } from "../support/qemu-socket.js";
import { type MadeStream, makeStream } from "../support/qemu-stream.js";
import { Random } from "../support/random.js";
import { RelayPair, type RelayPairOptions } from "../support/relay-pair.js";
import { resumablePair } from "../support/resumable-pair.js";

const RESET = "ECONNRESET";
const open = new Set<RelayPair>();

async function openPair(options: RelayPairOptions = {}): Promise<RelayPair> {
  const pair = await RelayPair.open(options);
  open.add(pair);
  return pair;
}

function failure(code: string): unknown {
  return expect.objectContaining({ name: "RelayError", code });
}

afterEach(async () => {
  vi.restoreAllMocks();
  for (const pair of open) await pair.close();
  open.clear();
});

describe("a stream from QEMU to QEMU", () => {
  it("comes out as it went in, both directions, and each end is passed on for itself", async () => {
    const made = makeStream({ seed: 1, rounds: 20, pagesPerRound: 100 });
    const back = new Random(1).bytes(300);
    const pair = await openPair();
    const [source, target] = await pair.migrate();
    await source.write(made.bytes);
    source.socket.end();
    expect(await target.ended).toBeUndefined();
    expectSameBytes(target.bytes, made.bytes);
    // The return path is still open.
    await target.write(back);
    target.socket.end();
    expect(await source.ended).toBeUndefined();
    expectSameBytes(source.bytes, back);
    const [sent, received] = [await pair.report("source"), await pair.report("destination")];
    expect([sent.outcome, received.outcome]).toEqual(["ended", "ended"]);
    expect(sent).toMatchObject({ machine: "a", rawBytes: made.bytes.length, backBytes: 300 });
    // A record that a silence cut in two went as it was.
    const pages = sent.pages as NonNullable<typeof sent.pages>;
    expect(Object.values(pages).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(made.pages * 0.9);
    expect(sent.zeroRecords).toBeGreaterThan(made.zeros * 0.9);
    expect(sent.sentBytes).toBeLessThan(made.bytes.length / 2);
    expect(received.rawBytes).toBe(made.bytes.length);
  });

  it("passes what QEMU has said as soon as it is silent: both can talk, as post-copy does", async () => {
    const pair = await openPair();
    const [source, target] = await pair.migrate();
    let sent = 0;
    const random = new Random(2);
    const { bytes, borders } = makeStream({ seed: 2, postcopy: true, rounds: 1 });
    let from = 0;
    for (const [turn, to] of borders.entries()) {
      await source.write(bytes.subarray(from, to));
      from = to;
      // Nothing more is said before all of it has arrived.
      await target.received(to);
      if (turn % 8 > 0) continue;
      const answer = random.bytes(20);
      sent += answer.length;
      await target.write(answer);
      await source.received(sent);
    }
    expectSameBytes(target.bytes, bytes);
  });

  it("goes through unix sockets", async () => {
    const folder = await mkdtemp(join(tmpdir(), "pageferry-"));
    try {
      const waiting = await WaitingQemu.listen(join(folder, "target"));
      const [left, right] = connectionPair();
      const receiver = new RelayReceiver({ machines: [{ name: "a", deliver: waiting.address }] });
      const received = receiver.receive(right);
      const machines = [{ name: "a", listen: { path: join(folder, "source") } }];
      const session = await relaySend({ connection: left, machines });
      const made = makeStream({ seed: 3 });
      const source = migrateTo(session.addresses[0] as { path: string });
      const target = await waiting.arrival();
      await source.write(made.bytes);
      source.socket.end();
      await target.ended;
      expectSameBytes(target.bytes, made.bytes);
      target.socket.end();
      await source.closed;
      await session.close();
      await received;
      waiting.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("may be followed by others of the same machine, and go along with others, as multifd and preempt channels do", async () => {
    const pair = await openPair();
    const noise = new Random(4).bytes(100_000);
    const made = makeStream({ seed: 4 });
    const main = await pair.migrate();
    const extra = await pair.migrate();
    await Promise.all([main[0].write(made.bytes), extra[0].write(noise)]);
    await Promise.all([main[1].received(made.bytes.length), extra[1].received(noise.length)]);
    expectSameBytes(main[1].bytes, made.bytes);
    expectSameBytes(extra[1].bytes, noise);
    for (const { socket } of [...main, ...extra]) socket.end();
    await pair.report("source");
    const again = await pair.migrate();
    await again[0].write(made.bytes);
    await again[1].received(made.bytes.length);
    expectSameBytes(again[1].bytes, made.bytes);
  });

  it("is reset at the other side where a QEMU resets it", async () => {
    for (const side of [0, 1] as const) {
      const pair = await openPair();
      const ends = await pair.migrate();
      const { bytes } = makeStream({ seed: 5 });
      await ends[0].write(bytes);
      // A reset that comes together with the last bytes would be taken for an end, by the kernel's interface already.
      await ends[1].received(bytes.length);
      ends[side].socket.resetAndDestroy();
      expect(await ends[side === 0 ? 1 : 0].ended).toBe(RESET);
      for (const end of ["source", "destination"] as const) {
        expect(await pair.report(end)).toMatchObject({ outcome: "failed", error: { code: "qemu-failed" } });
      }
      // The session goes on.
      const again = await pair.migrate();
      await again[0].write(Buffer.from("QEVM"));
      await again[1].received(4);
    }
  });

  it("is reset where no QEMU waits", async () => {
    const pair = await openPair();
    pair.waiting.get("a")?.close();
    const source = migrateTo(pair.session.addresses[0] as { host: string; port: number });
    expect(await source.ended).toBe(RESET);
    const report = await pair.report("source");
    expect(report.error).toEqual({ code: "qemu-failed", message: expect.stringContaining("does not wait") });
  });
});

describe("several machines over one link", () => {
  /** The second one moves while the first is still there; how the pages of each travelled. */
  async function both(pair: RelayPair, streams: readonly MadeStream[]): Promise<NonNullable<RelayReport["pages"]>[]> {
    const ends = [];
    for (const [index, name] of ["a", "b"].entries()) {
      const { bytes } = streams[index] as MadeStream;
      const [source, target] = await pair.migrate(name);
      await source.write(bytes);
      await target.received(bytes.length);
      expectSameBytes(target.bytes, bytes);
      ends.push(source, target);
    }
    for (const { socket } of ends) socket.end();
    const reports = [await pair.report("source", "a"), await pair.report("source", "b")];
    return reports.map(({ pages }) => pages as NonNullable<typeof pages>);
  }

  /** A page that is found again in these is the other machine's, whatever records a silence cuts in two: those go as they are, and are not counted. */
  const alike = [61, 62].map((seed) =>
    makeStream({ seed, rounds: 2, pagesPerRound: 120, distinct: true, blocks: [["pc.ram", 1024]] }),
  );

  it("are carried at the same time", async () => {
    const pair = await openPair({ names: ["a", "b"] });
    const streams = [makeStream({ seed: 7, rounds: 30 }), makeStream({ seed: 8, rounds: 30, xbzrle: true })];
    const ends = [await pair.migrate("a"), await pair.migrate("b")];
    await Promise.all(
      ends.map(async ([source, target], index) => {
        const { bytes } = streams[index] as (typeof streams)[number];
        await source.write(bytes);
        await target.received(bytes.length);
        expectSameBytes(target.bytes, bytes);
      }),
    );
  });

  it("share pages where they may, while both are there", async () => {
    const pages = await both(await openPair({ names: ["a", "b"], share: [["a", "b"]] }), alike);
    expect(pages[0]).toMatchObject({ dup: 0, unchanged: 0 });
    expect(pages[1]?.dup).toBeGreaterThan((alike[1] as MadeStream).pages / 2);
  });

  it("share nothing otherwise", async () => {
    const pages = await both(await openPair({ names: ["a", "b"] }), alike);
    for (const [index, { novel, delta, ...known }] of pages.entries()) {
      expect(known).toEqual({ zero: 0, fill: 0, dup: 0, unchanged: 0 });
      expect(novel + delta).toBeGreaterThan((alike[index] as MadeStream).pages / 2);
    }
  });

  it("do not wait for one whose QEMU does not read", async () => {
    const pair = await openPair({ names: ["a", "b"] });
    const [source, target] = await pair.migrate("a");
    target.socket.pause();
    // More than the window and all sockets hold.
    const blocked = source.write(new Random(9).bytes(60 << 20));
    const isBlocked = await Promise.race([
      blocked.then(() => false),
      pair.migrate("b").then(async ([other, otherTarget]) => {
        const { bytes } = makeStream({ seed: 10, rounds: 60 });
        await other.write(bytes);
        await otherTarget.received(bytes.length);
        expectSameBytes(otherTarget.bytes, bytes);
        return true;
      }),
    ]);
    expect(isBlocked).toBe(true);
    target.socket.resume();
    await blocked;
    await target.received(60 << 20);
  });

  it("work with the least memory where there is no more, and with what the other end has", async () => {
    const pair = await openPair({ names: ["a", "b"], cacheBytes: 1 << 20, targetCacheBytes: 0 });
    const made = makeStream({ seed: 6, rounds: 2, pagesPerRound: 120 });
    await both(pair, [made, made]);
  });
});

describe("a session that goes wrong", () => {
  it("does not deliver what did not come out as it went in, and breaks off both QEMUs", async () => {
    const { bytes } = makeStream({ seed: 11, rounds: 1 });
    const pair = await openPair();
    const [source, target] = await pair.migrate();
    const rest = 20_000;
    await source.write(bytes.subarray(0, -rest));
    await target.received(bytes.length - rest);
    const pages = vi.spyOn(StreamDecoder.prototype, "begin").mockImplementation(function (this: StreamDecoder, script) {
      pages.mockRestore();
      const changed = script.slice();
      changed[changed.length - 1] = (changed.at(-1) as number) ^ 1;
      this.begin(changed);
    });
    await source.write(bytes.subarray(-rest));
    source.socket.end();
    expect(await target.ended).toBe(RESET);
    expect(await source.ended).toBe(RESET);
    expect(target.bytes.length).toBe(bytes.length - rest);
    expect((await pair.report("source")).error?.code).toBe("digest-differs");
    expect((await pair.report("destination")).error?.code).toBe("digest-differs");
  });

  it("goes on where it was when the link is cut 20 times and comes back", async () => {
    const resumable = await resumablePair(20);
    try {
      const pair = await openPair({ ends: resumable.ends, names: ["a", "b"] });
      // What does not compress, so that all cuts come.
      const streams = [makeStream({ seed: 13, rounds: 30 }).bytes, new Random(13).bytes(24 << 20)];
      const ends = [await pair.migrate("a"), await pair.migrate("b")];
      await Promise.all(
        ends.map(async ([source, target], index) => {
          const bytes = streams[index] as Uint8Array;
          await source.write(bytes);
          await target.received(bytes.length);
          expectSameBytes(target.bytes, bytes);
        }),
      );
      expect(resumable.cuts).toBe(20);
    } finally {
      for (const pair of open) await pair.close();
      open.clear();
      await resumable.close();
    }
  });

  it("is over when the link is lost: both QEMUs are broken off, and both ends say why", async () => {
    const pair = await openPair();
    const [source, target] = await pair.migrate();
    const { bytes } = makeStream({ seed: 12 });
    await source.write(bytes);
    await target.received(bytes.length);
    pair.ends[1].abort(new Error("The cable was cut."));
    expect(await source.ended).toBe(RESET);
    expect(await target.ended).toBe(RESET);
    await expect(pair.session.ended).rejects.toEqual(failure("connection-lost"));
    expect((await pair.report("source")).error?.code).toBe("connection-lost");
    await expect(pair.received).rejects.toBeInstanceOf(RelayError);
    // Nobody listens any more.
    const late = migrateTo(pair.session.addresses[0] as { host: string; port: number });
    expect(await late.ended).toBe("ECONNREFUSED");
  });

  it("ends in order at both ends where one is closed, with its streams broken off", async () => {
    for (const closes of ["source", "destination"]) {
      const [left, right] = connectionPair();
      const waiting = await WaitingQemu.listen();
      const receiver = new RelayReceiver({ machines: [{ name: "a", deliver: waiting.address }] });
      const received = receiver.receive(right);
      const machines = [{ name: "a", listen: { host: "127.0.0.1", port: 0 } }];
      const session = await relaySend({ connection: left, machines });
      const source = migrateTo(session.addresses[0] as { host: string; port: number });
      await waiting.arrival();
      await (closes === "source" ? session : receiver).close();
      await received;
      await session.ended;
      expect(await source.ended).toBe(RESET);
      waiting.close();
    }
  });

  it("is refused where the other relay does not deliver to a machine", async () => {
    const [left, right] = connectionPair();
    const receiver = new RelayReceiver({ machines: [{ name: "b", deliver: { host: "127.0.0.1", port: 1 } }] });
    const received = receiver.receive(right);
    received.catch(() => {});
    const machines = [{ name: "a", listen: { host: "127.0.0.1", port: 0 } }];
    await expect(relaySend({ connection: left, machines })).rejects.toEqual(failure("refused"));
    await expect(received).rejects.toEqual(failure("refused"));
  });

  it.each([
    ["of another version", { protocol: "pageferry-relay", versions: [2, 3] }, "no-common-version"],
    ["that speaks another protocol", { protocol: "pageferry", versions: [1, 1] }, "protocol"],
  ])("is refused to a relay %s", async (_, greeting, code) => {
    const checksum = await loadChecksum();
    const [left, right] = connectionPair();
    const receiver = new RelayReceiver({ machines: [{ name: "a", deliver: { host: "127.0.0.1", port: 1 } }] });
    const received = receiver.receive(right);
    received.catch(() => {});
    const hello = { ...greeting, machines: ["a"], cacheBytes: 1, seed: "0".repeat(16), features: [] };
    const body = Buffer.from(JSON.stringify(hello));
    await left.send(encodeFrame(checksum, RelayFrameType.hello, 0, body));
    await left.close();
    await expect(received).rejects.toEqual(failure(code));
  });

  it("refuses machines and groups that are none", async () => {
    const machine = { name: "a", listen: { host: "127.0.0.1", port: 0 } };
    const argument = failure("argument");
    for (const options of [
      { machines: [] },
      { machines: [machine, machine] },
      { machines: [{ ...machine, name: "a\n" }] },
      { machines: [machine], share: [["a", "b"]] },
      { machines: [machine], share: [["a"], ["a"]] },
      { machines: [machine], cacheBytes: -1 },
    ]) {
      const [connection] = connectionPair();
      await expect(relaySend({ connection, ...options })).rejects.toEqual(argument);
    }
  });
});
