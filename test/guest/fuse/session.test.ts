import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type FuseRead, FuseSession } from "../../../src/guest/fuse/session.js";
import { concat } from "../../support/bytes.js";
import { REQUEST_NAMES, type RequestName, readRequest, request } from "../../support/fuse-requests.js";
import { Random } from "../../support/random.js";

const BYTES = 10_000;
const SEED = 20261126;

/** A session that holds 10,000 bytes, and what it answers: error number and body of each name. */
function begin(onRead: (read: FuseRead) => void = () => {}, isDying = (_pid: number) => false) {
  const answers = new Map<bigint, { errno: number; body: Uint8Array }>();
  const notices: string[] = [];
  const session = new FuseSession({
    attributes: { byteLength: BYTES, mode: 0o600, uid: 0, gid: 0, seconds: 0 },
    maxReadBytes: 1 << 20,
    kernelPageBytes: 4096,
    write(parts) {
      const bytes = concat(parts);
      const view = new DataView(bytes.buffer);
      expect(view.getUint32(0, true)).toBe(bytes.length);
      const unique = view.getBigUint64(8, true);
      expect(answers.has(unique), "answered twice").toBe(false);
      answers.set(unique, { errno: Math.abs(view.getInt32(4, true)), body: bytes.subarray(16) });
    },
    onRead,
    isDying,
    onNotice: (sentence) => notices.push(sentence),
  });
  return { session, answers, notices };
}

describe("a session of FUSE", () => {
  it("answers what it is asked for", async () => {
    const { session, answers } = begin();
    for (const [at, name] of REQUEST_NAMES.entries()) session.take(request(name, BigInt(at)));
    const errnoOf = (name: RequestName) => answers.get(BigInt(REQUEST_NAMES.indexOf(name)))?.errno;
    expect(Object.fromEntries(REQUEST_NAMES.map((name) => [name, errnoOf(name)]))).toEqual({
      INIT: 0,
      GETATTR: 0,
      SETATTR: 30,
      "SETATTR of the time": 30,
      OPEN: 0,
      READ: 0,
      WRITE: 30,
      STATFS: 0,
      RELEASE: 0,
      FSYNC: 0,
      FLUSH: 0,
      ACCESS: 0,
      DESTROY: 0,
      INTERRUPT: undefined,
      IOCTL: 38,
      FORGET: undefined,
      BATCH_FORGET: undefined,
    });
    await session.ready;
    await session.released;
  });

  it("refuses a kernel that is too old", async () => {
    const { session, answers } = begin();
    const old = request("INIT", 1n);
    old[44] = 27;
    session.take(old);
    await expect(session.ready).rejects.toMatchObject({ code: "lazy-unavailable" });
    expect(answers.get(1n)?.errno).toBe(71);
  });

  it("lets the length be set to what it is", () => {
    const { session, answers } = begin();
    const same = request("SETATTR", 1n);
    new DataView(same.buffer).setBigUint64(56, BigInt(BYTES), true);
    session.take(same);
    expect(answers.get(1n)?.errno).toBe(0);
  });

  it("answers reads in any order, and those past the end short", () => {
    const reads: FuseRead[] = [];
    const { session, answers } = begin((read) => reads.push(read));
    session.take(readRequest(1n, 0, 4096));
    session.take(readRequest(2n, 8192, 4096));
    session.take(readRequest(3n, 12288, 4096));
    expect(reads.map(({ offset, byteLength }) => [offset, byteLength])).toEqual([
      [0, 4096],
      [8192, BYTES - 8192],
    ]);
    expect(answers.get(3n)).toEqual({ errno: 0, body: new Uint8Array(0) });
    reads[1]?.answer(new Uint8Array(1000).fill(1), new Uint8Array(808).fill(2));
    expect(answers.get(2n)?.body.slice(998, 1002)).toEqual(Uint8Array.of(1, 1, 2, 2));
    expect(answers.has(1n)).toBe(false);
    reads[0]?.fail(5);
    expect(answers.get(1n)).toEqual({ errno: 5, body: new Uint8Array(0) });
    const again = { code: "argument" };
    expect(() => reads[0]?.answer(new Uint8Array(4096))).toThrow(expect.objectContaining(again));
    expect(() => reads[0]?.fail(5)).toThrow(expect.objectContaining(again));
  });

  it("takes no answer that is too short or too long", () => {
    let read: FuseRead | undefined;
    const { session, answers } = begin((asked) => {
      read = asked;
    });
    session.take(readRequest(1n, 0, 4096));
    for (const byteLength of [0, 4095, 4097]) {
      expect(() => read?.answer(new Uint8Array(byteLength))).toThrow(expect.objectContaining({ code: "argument" }));
    }
    expect(answers.size).toBe(0);
    read?.answer(new Uint8Array(4096));
    expect(answers.get(1n)?.body.length).toBe(4096);
  });

  it("lets those go who have been killed while they waited, and nobody else", () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const reads: FuseRead[] = [];
    const killed = new Set<number>();
    const { session, answers } = begin(
      (read) => reads.push(read),
      (pid) => killed.has(pid),
    );
    for (const unique of [1n, 2n, 3n]) {
      const read = readRequest(unique, 0, 4096);
      read[32] = Number(unique) + 10;
      session.take(read);
    }
    const interrupt = (unique: bigint): void => {
      const bytes = request("INTERRUPT", unique | 1n);
      new DataView(bytes.buffer).setBigUint64(40, unique, true);
      session.take(bytes);
    };
    killed.add(12);
    for (const unique of [1n, 2n, 9n]) interrupt(unique);
    expect([...answers].map(([unique, { errno }]) => [unique, errno])).toEqual([[2n, 4]]);
    killed.add(11);
    vi.advanceTimersByTime(1000);
    expect(answers.get(1n)?.errno).toBe(4);
    expect(answers.has(3n)).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
    for (const read of reads) read.answer(new Uint8Array(4096));
    expect([...answers.values()].map(({ errno }) => errno)).toEqual([4, 4, 0]);
  });

  it("fails a read where its reader does, and goes on", () => {
    const { session, answers, notices } = begin(() => {
      throw new Error("out of order");
    });
    session.take(readRequest(1n, 0, 4096));
    expect(answers.get(1n)?.errno).toBe(5);
    expect(notices).toEqual([expect.stringContaining("out of order")]);
  });

  it("is released when the last one has closed, and at the end", async () => {
    const { session } = begin();
    let isReleased = false;
    session.released.then(() => {
      isReleased = true;
    });
    for (const [at, name] of (["OPEN", "OPEN", "RELEASE"] as const).entries()) session.take(request(name, BigInt(at)));
    await null;
    expect(isReleased).toBe(false);
    session.take(request("RELEASE", 3n));
    await null;
    expect(isReleased).toBe(true);
    const { session: other } = begin();
    other.end();
    await other.released;
  });

  it("survives what is malformed", () => {
    const random = new Random(SEED);
    for (let round = 0; round < 5000; round++) {
      const { session, answers } = begin((read) => {
        expect(read.offset + read.byteLength).toBeLessThanOrEqual(BYTES);
        read.answer(new Uint8Array(read.byteLength));
      });
      const name = REQUEST_NAMES[random.below(REQUEST_NAMES.length)] as RequestName;
      session.take(random.mutate(request(name)));
      expect(answers.size).toBeLessThanOrEqual(1);
    }
  });
});
