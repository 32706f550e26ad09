import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Channel, expectFrame } from "../../src/migration/channel.js";
import { MigrationError } from "../../src/migration/errors.js";
import { Inbox } from "../../src/migration/inbox.js";
import type { Connection } from "../../src/transport/connection.js";
import { connectionPair } from "../../src/transport/pair.js";
import { loadChecksum } from "../../src/wire/checksum.js";
import { encodeConfirmation } from "../../src/wire/confirmation.js";
import { encodeFrame } from "../../src/wire/frame.js";
import { encodeMessage, FrameType } from "../../src/wire/messages.js";

const TIMEOUT_MS = 1000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets everything go on that waits for nothing but its turn. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function channels(): Promise<[Channel, Channel]> {
  const [left, right] = connectionPair();
  return await Promise.all([Channel.open(left, TIMEOUT_MS), Channel.open(right, TIMEOUT_MS)]);
}

const code = (expected: string): unknown => expect.objectContaining({ code: expected });

/** Expects a wait to end with this code once so much time has passed, and not before. */
async function expectAfter(wait: Promise<unknown>, afterMs: number, expected: string): Promise<void> {
  let ended = false;
  const watched = wait.catch((error: MigrationError) => {
    ended = true;
    return error;
  });
  await settle();
  await vi.advanceTimersByTimeAsync(afterMs - 1);
  expect(ended).toBe(false);
  await vi.advanceTimersByTimeAsync(2);
  expect(await watched).toMatchObject({ code: expected });
}

describe("channel", () => {
  it("refuses a peer of other versions", async () => {
    const checksum = await loadChecksum();
    for (const versions of [[2, 3] as const, [0, 0] as const]) {
      const [here, there] = connectionPair();
      const opening = Channel.open(here, TIMEOUT_MS);
      const hello = encodeMessage<"hello">({ protocol: "pageferry", versions, features: [] });
      await there.send(encodeFrame(checksum, FrameType.hello, 0, hello));
      await expect(opening).rejects.toEqual(code("no-common-version"));
    }
  });

  it("waits for a greeting for so long, and not longer for a peer that is only alive", async () => {
    const checksum = await loadChecksum();
    for (const aliveAfterMs of [undefined, TIMEOUT_MS - 100]) {
      const [here, there] = connectionPair();
      const opening = Channel.open(here, TIMEOUT_MS);
      expect((await there.receive())?.[0]).toBe(FrameType.hello);
      const alive = encodeFrame(checksum, FrameType.alive, 1, new Uint8Array(0));
      if (aliveAfterMs !== undefined) setTimeout(() => there.send(alive), aliveAfterMs);
      await expectAfter(opening, TIMEOUT_MS, "timeout");
    }
  });

  it("passes over frames that say only that the peer is alive, which prolong the wait", async () => {
    const [left, right] = await channels();
    const receiving = left.receive(TIMEOUT_MS);
    for (let times = 0; times < 3; times++) {
      await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 10);
      await right.sendBytes(FrameType.alive, new Uint8Array(0));
      await settle();
    }
    await expectAfter(receiving, TIMEOUT_MS, "timeout");
  });

  it("refuses a frame on a channel that is not its own", async () => {
    const checksum = await loadChecksum();
    const [here, there] = connectionPair();
    const [left] = await Promise.all([Channel.open(here, TIMEOUT_MS), Channel.open(there, TIMEOUT_MS)]);
    await there.send(encodeFrame(checksum, FrameType.ready, 2, encodeMessage<"ready">({})));
    await expect(left.receive(TIMEOUT_MS)).rejects.toEqual(code("message-malformed"));
  });

  it("tells an orderly end from one inside a frame", async () => {
    const [left, right] = await channels();
    await right.connection.close();
    expect(await left.receive(TIMEOUT_MS)).toBeUndefined();

    const [other, cut] = await channels();
    await cut.connection.send(new Uint8Array(7).fill(1));
    await cut.connection.close();
    await expect(other.receive(TIMEOUT_MS)).rejects.toEqual(code("unexpected-end"));
  });

  it("throws what the peer says in a farewell", async () => {
    for (const [said, heard] of [
      ["refused", "refused"],
      ["memory-limit", "memory-limit"],
      ["content-differs", "content-differs"],
      ["host-failed", "peer-failed"],
      ["in-doubt", "peer-failed"],
    ] as const) {
      const [left, right] = await channels();
      await right.sayGoodbye(new MigrationError(said, "a reason"));
      await expect(expectFrame(left, TIMEOUT_MS, FrameType.ready)).rejects.toEqual(code(heard));
    }
  });

  it("says goodbye within a second to a peer that takes nothing, and never throws", async () => {
    const stuck: Connection = {
      peer: undefined,
      send: () => new Promise(() => {}),
      receive: () => new Promise(() => {}),
      close: () => new Promise(() => {}),
      abort: vi.fn(),
    };
    const [left] = await channels();
    const channel: Channel = Object.create(left, { connection: { value: stuck }, sendBytes: { value: stuck.send } });
    const farewell = channel.sayGoodbye(new MigrationError("cancelled", "a reason"));
    const closing = channel.close();
    await vi.advanceTimersByTimeAsync(1000);
    await Promise.all([farewell, closing]);
    expect(stuck.abort).toHaveBeenCalledOnce();
    left.connection.abort(new Error("broken"));
    await left.sayGoodbye(new MigrationError("cancelled", "a reason"));
    await left.close();
  });
});

describe("inbox", () => {
  async function inbox(): Promise<{ inbox: Inbox; peer: Channel; received: number[] }> {
    const [here, peer] = await channels();
    const received: number[] = [];
    const confirmed = (bytes: number): void => void received.push(bytes);
    return { inbox: new Inbox(here, TIMEOUT_MS, { confirmed, wanted: () => expect.unreachable() }), peer, received };
  }
  const confirmation = encodeConfirmation;

  it("gives answers in order, one at a time, and confirmations at once", async () => {
    const { inbox: box, peer, received } = await inbox();
    await peer.sendBytes(FrameType.received, confirmation(1));
    await peer.send("roundDone", { round: 0 });
    await peer.sendBytes(FrameType.received, confirmation(2));
    await peer.send("ready", {});
    await settle();
    expect(received).toEqual([1]);
    expect((await box.expect(FrameType.roundDone)).type).toBe(FrameType.roundDone);
    expect((await box.expect(FrameType.ready)).type).toBe(FrameType.ready);
    expect(received).toEqual([1, 2]);
  });

  it("tells what the peer says without what a terminal would obey", async () => {
    const { inbox: box, peer } = await inbox();
    await peer.send("fail", { code: "no\u0007", message: "One\ntwo \u001b[2Jthree" });
    await expect(box.expect(FrameType.ready)).rejects.toThrow("The peer gave up (no ): One two  [2Jthree");
  });

  it("refuses an answer that was not due, and a confirmation of another length", async () => {
    const { inbox: box, peer } = await inbox();
    await peer.send("ready", {});
    await expect(box.expect(FrameType.running)).rejects.toEqual(code("message-malformed"));
    const other = await inbox();
    await other.peer.sendBytes(FrameType.received, new Uint8Array(7));
    await expect(other.inbox.expect(FrameType.running)).rejects.toEqual(code("message-malformed"));
  });

  it("ends a wait when nothing has come for the whole of it", async () => {
    const { inbox: box } = await inbox();
    // Silence from before does not count.
    await vi.advanceTimersByTimeAsync(10 * TIMEOUT_MS);
    await expectAfter(box.expect(FrameType.ready), TIMEOUT_MS, "timeout");
    await expectAfter(box.guard(new Promise(() => {})), TIMEOUT_MS, "timeout");
  });

  it("goes on waiting as long as anything comes", async () => {
    const { inbox: box, peer } = await inbox();
    const waiting = box.expect(FrameType.ready);
    for (let times = 0; times < 5; times++) {
      await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 10);
      await peer.sendBytes(FrameType.received, confirmation(times));
      await settle();
    }
    await expectAfter(waiting, TIMEOUT_MS, "timeout");
  });

  it("a failure ends every wait, now and later; the first one stays", async () => {
    const { inbox: box } = await inbox();
    const waits = [box.expect(FrameType.ready), box.guard(new Promise(() => {}))];
    box.fail(new MigrationError("cancelled", "first"));
    box.fail(new MigrationError("timeout", "second"));
    for (const wait of waits) await expect(wait).rejects.toEqual(code("cancelled"));
    expect(() => box.check()).toThrow("first");
    await expect(box.expect(FrameType.ready)).rejects.toEqual(code("cancelled"));
    // What is guarded too late fails unheard: that must not end the process.
    await expect(box.guard(Promise.reject(new Error("nobody hears this")))).rejects.toEqual(code("cancelled"));
    await settle();
  });

  it("an answer that came before the connection broke is given all the same", async () => {
    const { inbox: box, peer } = await inbox();
    await peer.send("running", {});
    await settle();
    box.fail(new MigrationError("connection-lost", "broken"));
    expect((await box.expect(FrameType.running)).type).toBe(FrameType.running);
    await expect(box.expect(FrameType.running)).rejects.toEqual(code("connection-lost"));
  });

  it("ends when the peer ends the connection, or says why it gives up", async () => {
    const ended = await inbox();
    await ended.peer.connection.close();
    await expect(ended.inbox.expect(FrameType.ready)).rejects.toEqual(code("connection-lost"));
    const failed = await inbox();
    await failed.peer.sayGoodbye(new MigrationError("host-failed", "no room"));
    await expect(failed.inbox.expect(FrameType.ready)).rejects.toThrow("no room");
  });
});
