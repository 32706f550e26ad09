import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection, Peer } from "../../src/transport/connection.js";
import { type ResumableConnectOptions, resumableConnect } from "../../src/transport/resumable.js";
import { ResumableAcceptor } from "../../src/transport/resumable-acceptor.js";
import {
  encodeAnswer,
  encodeControl,
  RESUME_HEADER_BYTES,
  ResumeType,
  writeResumeHeader,
} from "../../src/wire/resume.js";
import { CUTS, type Cut, TestLink } from "../support/links.js";
import { coded, inTime, isWaiting, over, readAll, refused, Setting } from "../support/resumable.js";
import { ResumePeer } from "../support/resume-peer.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A session whose other side is played by hand. */
async function handMade(options: ResumableConnectOptions = {}): Promise<{
  connection: Connection;
  peer: ResumePeer;
  /** The other ends of the links, in their order. */
  peers: ResumePeer[];
  token: Uint8Array;
}> {
  const peers: ResumePeer[] = [];
  const dial = async (): Promise<Connection> => {
    const link = new TestLink();
    peers.push(new ResumePeer(link.there));
    return link.here;
  };
  const connecting = resumableConnect(dial, options);
  await Promise.resolve();
  const peer = peers[0] as ResumePeer;
  const { token } = await peer.accept();
  return { connection: await connecting, peer, peers, token };
}

describe("a resumable connection whose link is lost", () => {
  it.each(CUTS)("goes on over the next one (%s), and tells of the pause", async (how) => {
    const setting = await new Setting().open();
    const { left, right } = setting;
    await left.send(Uint8Array.of(1, 2));
    expect(await right.receive()).toEqual(Uint8Array.of(1, 2));
    setting.link.cut(how);
    const sent = Promise.all([left.send(Uint8Array.of(3)), right.send(Uint8Array.of(4))]);
    expect(await inTime(right.receive())).toEqual(Uint8Array.of(3));
    expect(await inTime(left.receive())).toEqual(Uint8Array.of(4));
    await sent;
    expect(setting.links).toHaveLength(2);
    const statesOf = (side: string): string[] => setting.states.filter(([of]) => of === side).map(([, state]) => state);
    expect(statesOf("left")).toEqual(["reconnecting", "connected"]);
    expect(statesOf("right")).toEqual(how === "silence" ? expect.any(Array) : ["reconnecting", "connected"]);
    await inTime(Promise.all([left.close(), right.close(), left.receive(), right.receive()]));
    await inTime(new Promise((resolve) => setTimeout(resolve, 3000)));
    expect(statesOf("left").at(-1)).toBe("ended");
    expect(statesOf("right").at(-1)).toBe("ended");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("tries at once, then 50 ms later and ever more seldom, up to 2 s", async () => {
    const setting = await new Setting().open();
    const dialled: number[] = [];
    setting.makeLink = () => {
      dialled.push(Date.now());
      throw refused;
    };
    const lostMs = Date.now();
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(20_000);
    expect((dialled[0] as number) - lostMs).toBeLessThanOrEqual(1);
    const waits = dialled.slice(1).map((time, index) => time - (dialled[index] as number));
    for (const [index, waitMs] of waits.entries()) {
      const mostMs = Math.min(2000, 50 * 2 ** index);
      expect(waitMs).toBeGreaterThanOrEqual(mostMs / 2 - 1);
      expect(waitMs).toBeLessThanOrEqual(mostMs + 1);
    }
    expect(waits.length).toBeGreaterThan(10);
    setting.left.abort(over);
    setting.right.abort(over);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("tries at once again each time, where there was a link that worked", async () => {
    const setting = await new Setting().open();
    for (let turn = 0; turn < 10; turn++) {
      setting.link.cut("reset");
      await vi.advanceTimersByTimeAsync(2);
      expect(setting.links).toHaveLength(turn + 2);
    }
    setting.left.abort(over);
  });

  it("lets go of an attempt at once where it is aborted", async () => {
    const { connection, peer, peers } = await handMade();
    peer.connection.abort(over);
    await vi.advanceTimersByTimeAsync(1);
    const next = peers[1] as ResumePeer;
    await next.readOpening();
    connection.abort(over);
    await expect(next.connection.receive()).rejects.toEqual(coded("connection-lost"));
    expect(vi.getTimerCount()).toBe(0);
  });

  it("numbers its attempts beyond those that the other side knows of", async () => {
    const { connection, peer, peers } = await handMade();
    peer.connection.abort(over);
    await vi.advanceTimersByTimeAsync(1);
    expect(await (peers[1] as ResumePeer).readOpening()).toMatchObject({ attempt: 3 });
    await (peers[1] as ResumePeer).sendAnswer({ verdict: "stale", attempt: 8 });
    await vi.advanceTimersByTimeAsync(60);
    expect(await (peers[2] as ResumePeer).readOpening()).toMatchObject({ attempt: 9 });
    connection.abort(over);
  });

  it("does not go on where the other side says that it has more than was sent", async () => {
    const { connection, peer, peers } = await handMade();
    await connection.send(Uint8Array.of(1, 2, 3));
    await peer.nextOf(ResumeType.data);
    peer.connection.abort(over);
    await vi.advanceTimersByTimeAsync(1);
    await (peers[1] as ResumePeer).readOpening();
    await (peers[1] as ResumePeer).sendAnswer({ attempt: 3, received: 4 });
    await vi.advanceTimersByTimeAsync(60);
    await (peers[2] as ResumePeer).readOpening();
    await (peers[2] as ResumePeer).sendAnswer({ attempt: 5, received: 2 });
    expect(await (peers[2] as ResumePeer).nextOf(ResumeType.data)).toMatchObject({ number: 2, size: 1 });
    connection.abort(over);
  });

  it("is given up in time, at both sides, with the reason in words", async () => {
    const setting = await new Setting({ giveUpMs: 7000 }).open({ giveUpMs: 5000 });
    const { left, right } = setting;
    const [leftWaits, rightWaits] = [left.receive(), right.receive()];
    for (const waits of [leftWaits, rightWaits]) waits.catch(() => {});
    setting.makeLink = () => {
      throw refused;
    };
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(4990);
    expect(await isWaiting(leftWaits)).toBe(true);
    await vi.advanceTimersByTimeAsync(20);
    await expect(leftWaits).rejects.toEqual(coded("connection-lost", "within 5000 ms. Nobody listens there."));
    await expect(left.send(Uint8Array.of(1))).rejects.toEqual(coded("connection-lost"));
    await expect(left.close()).rejects.toEqual(coded("connection-lost"));
    expect(await isWaiting(rightWaits)).toBe(true);
    await vi.advanceTimersByTimeAsync(2000);
    await expect(rightWaits).rejects.toEqual(coded("connection-lost", "within 7000 ms"));
    expect(vi.getTimerCount()).toBe(0);
    expect(setting.states).toEqual([
      ["left", "reconnecting"],
      ["right", "reconnecting"],
      ["left", "ended"],
      ["right", "ended"],
    ]);
  });

  it("is given up too where links come, but nothing comes over them", async () => {
    const setting = new Setting();
    const { dial } = setting;
    let answered = 0;
    const left = await resumableConnect(
      async () => {
        if (setting.links.length === 0) return await dial();
        const link = new TestLink();
        const peer = new ResumePeer(link.there);
        const answer = async (): Promise<void> => {
          const { attempt } = await peer.readOpening();
          await peer.sendAnswer({ attempt });
          answered += 1;
          peer.connection.abort(over);
        };
        answer();
        return link.here;
      },
      { giveUpMs: 3000 },
    );
    const waiting = left.receive();
    waiting.catch(() => {});
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(2990);
    expect(answered).toBeGreaterThan(4);
    expect(answered).toBeLessThan(12);
    expect(await isWaiting(waiting)).toBe(true);
    await vi.advanceTimersByTimeAsync(20);
    await expect(waiting).rejects.toEqual(coded("connection-lost", "within 3000 ms"));
    setting.right.abort(over);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("breaks a link off that comes when the connection has been given up", async () => {
    const setting = await new Setting().open({ giveUpMs: 1000 });
    let arrive: (connection: Connection) => void = () => {};
    const late = new TestLink();
    const dial = vi.fn(() => new Promise<Connection>((resolve) => (arrive = resolve)));
    const left = await resumableConnect(async () => (dial.mock.calls.length === 0 ? first() : dial()), {
      giveUpMs: 1000,
    });
    async function first(): Promise<Connection> {
      dial.mock.calls.push([]);
      return await setting.dial();
    }
    const waiting = left.receive();
    setting.link.cut("reset");
    await expect(inTime(waiting)).rejects.toEqual(coded("connection-lost"));
    arrive(late.here);
    await expect(late.there.receive()).rejects.toEqual(coded("connection-lost"));
  });

  it("ends with a clear error at once where the other side was restarted", async () => {
    const setting = await new Setting().open();
    const waiting = setting.left.receive();
    setting.acceptor = new ResumableAcceptor({}, () => {});
    setting.link.cut("reset");
    const startMs = Date.now();
    await expect(inTime(waiting)).rejects.toEqual(coded("session-unknown", "restarted"));
    expect(Date.now() - startMs).toBeLessThan(100);
    await expect(setting.left.send(Uint8Array.of(1))).rejects.toEqual(coded("session-unknown"));
    await expect(setting.left.close()).rejects.toEqual(coded("session-unknown"));
    setting.right.abort(over);
    await vi.advanceTimersByTimeAsync(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("never tells the token", async () => {
    const texts: string[] = [];
    const { connection, peers, token } = await handMade({
      giveUpMs: 500,
      onStateChange: (_, reason) => texts.push(String(reason?.stack)),
    });
    peers[0]?.connection.abort(over);
    const error = await inTime(connection.receive().catch((reason: Error) => reason));
    texts.push(String((error as Error).stack), JSON.stringify(error), String((error as Error).cause));
    for (const text of texts) {
      expect(text).not.toContain(Buffer.from(token).toString("hex"));
      expect(text).not.toContain(token.join(","));
    }
  });

  it("sends the token to nobody but the peer that it had", async () => {
    const alpha: Peer = { name: "alpha", fingerprint: "aa" };
    const mallory: Peer = { name: "mallory", fingerprint: "bb" };
    const setting = new Setting();
    let answering = alpha;
    setting.makeLink = () => new TestLink(undefined, undefined, [answering]);
    await setting.open({ giveUpMs: 5000 });
    expect(setting.left.peer).toBe(alpha);
    answering = mallory;
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(500);
    expect(setting.links.length).toBeGreaterThan(2);
    for (const link of setting.links.slice(1)) expect(link.bytes).toBe(0);
    answering = alpha;
    await setting.left.send(Uint8Array.of(5));
    expect(await inTime(setting.right.receive())).toEqual(Uint8Array.of(5));
    answering = mallory;
    setting.link.cut("reset");
    await expect(inTime(setting.left.receive())).rejects.toEqual(coded("connection-lost", "mallory"));
  });
});

describe("what is sent over a resumable connection", () => {
  it("is on its way when send returns, small as it is", async () => {
    const setting = await new Setting().open();
    await vi.advanceTimersByTimeAsync(10);
    const before = setting.link.bytes;
    const sending = setting.left.send(Uint8Array.of(1));
    expect(setting.link.bytes).toBe(before + 17);
    await sending;
  });

  it("is kept up to the limit: then send waits until the other side has received it", async () => {
    const { connection, peer } = await handMade({ replayBytes: 1 << 20 });
    let sent = 0;
    const sending = (async () => {
      for (; sent < 3 << 20; sent += 1 << 16) await connection.send(new Uint8Array(1 << 16));
    })();
    let received = 0;
    const reading = (async () => {
      for (;;) received += (await peer.nextOf(ResumeType.data)).size;
    })();
    reading.catch(() => {});
    expect(await isWaiting(sending)).toBe(true);
    expect(sent).toBeLessThanOrEqual(1 << 20);
    expect(sent).toBeGreaterThan(900_000);
    expect(received).toBe(sent + (1 << 16));
    while (sent < 3 << 20) {
      await peer.send(ResumeType.ack, 1 << 30, received);
      await vi.advanceTimersByTimeAsync(1);
    }
    await sending;
    connection.abort(over);
  });

  it("waits where the link takes no more, and where there is none", async () => {
    const setting = await new Setting().open();
    setting.makeLink = () => {
      throw refused;
    };
    setting.link.cut("reset");
    let sent = 0;
    const sending = (async () => {
      for (;;) sent += await setting.left.send(new Uint8Array(1 << 16)).then(() => 1 << 16);
    })();
    sending.catch(() => {});
    expect(await isWaiting(sending)).toBe(true);
    expect(sent).toBeLessThanOrEqual(256 << 10);
    setting.left.abort(over);
    await expect(sending).rejects.toBe(over);
    setting.right.abort(over);
  });

  it("holds the sender back as before where much has to be sent again", async () => {
    const { connection, peer, peers } = await handMade();
    const bytes = 3 << 20;
    const sending = connection.send(new Uint8Array(bytes));
    for (let got = 0; got < bytes; ) got += (await peer.nextOf(ResumeType.data)).size;
    await sending;
    peer.connection.abort(over);
    await vi.advanceTimersByTimeAsync(1);
    const next = peers[1] as ResumePeer;
    await next.readOpening();
    await next.sendAnswer({ attempt: 3 });
    for (let got = 0; got < bytes; ) got += (await next.nextOf(ResumeType.data)).size;
    next.connection.abort(over);
    await vi.advanceTimersByTimeAsync(1);
    const more = connection.send(new Uint8Array(300 << 10));
    more.catch(() => {});
    expect(await isWaiting(more)).toBe(true);
    connection.abort(over);
  });

  it("comes in chunks that share no memory and keep none of the rest", async () => {
    const { connection, peer } = await handMade();
    const small = (number: number): Uint8Array => {
      const frame = new Uint8Array(RESUME_HEADER_BYTES + 10).fill(number);
      writeResumeHeader(frame, ResumeType.data, 10, number);
      return frame;
    };
    await peer.connection.send(Buffer.concat([small(0), small(10), small(20), small(30)]));
    for (const number of [0, 10, 20, 30]) {
      const chunk = (await connection.receive()) as Uint8Array;
      expect(chunk).toEqual(new Uint8Array(10).fill(number));
      expect(chunk.buffer.byteLength).toBeLessThan(2 * 10);
      structuredClone(chunk, { transfer: [chunk.buffer] });
    }
    connection.abort(over);
  });

  it("is no more than the other side has room for", async () => {
    const { connection, peer } = await handMade();
    const link = new TestLink();
    const small = new ResumePeer(link.there);
    const connecting = resumableConnect(async () => link.here);
    await small.readOpening();
    await small.sendAnswer({});
    const narrow = await connecting;
    const sending = narrow.send(new Uint8Array(300));
    await vi.advanceTimersByTimeAsync(5);
    const before = link.bytes;
    await narrow.send(new Uint8Array(50));
    expect(link.bytes).toBe(before);
    await small.send(ResumeType.ack, 300, 0);
    expect((await small.nextOf(ResumeType.data)).size).toBe(300);
    await sending;
    await small.send(ResumeType.ack, 49, 300);
    await vi.advanceTimersByTimeAsync(5);
    expect(link.bytes).toBe(before + 16 + 16 + 16 + 300);
    await small.send(ResumeType.ack, 50, 300);
    expect(await small.nextOf(ResumeType.data)).toMatchObject({ size: 50, number: 300 });
    for (const each of [connection, narrow, peer.connection]) each.abort(over);
  });

  it("is acknowledged when 128 KiB are there, or a moment after the last of it", async () => {
    const { connection, peer } = await handMade();
    const acks: number[] = [];
    const reading = (async () => {
      for (;;) acks.push((await peer.nextOf(ResumeType.ack)).number);
    })();
    reading.catch(() => {});
    await vi.advanceTimersByTimeAsync(5);
    expect(acks.splice(0)).toEqual([0]);
    for (let at = 0; at < 300_000; at += 10_000) await peer.sendData(at, ...new Uint8Array(10_000));
    await vi.advanceTimersByTimeAsync(0);
    expect(acks.splice(0)).toEqual([140_000, 280_000]);
    await vi.advanceTimersByTimeAsync(1);
    expect(acks.splice(0)).toEqual([300_000]);
    await vi.advanceTimersByTimeAsync(100);
    expect(acks).toEqual([]);
    connection.abort(over);
  });

  it("waits unread within bounds, and abort still gets through", async () => {
    const setting = await new Setting().open();
    let sent = 0;
    const sending = (async () => {
      for (;;) sent += await setting.left.send(new Uint8Array(1 << 18)).then(() => 1 << 18);
    })();
    sending.catch(() => {});
    await vi.advanceTimersByTimeAsync(50);
    await vi.advanceTimersByTimeAsync(50);
    expect(sent).toBeGreaterThanOrEqual(8 << 20);
    expect(sent).toBeLessThanOrEqual(9 << 20);
    setting.left.abort(over);
    await vi.advanceTimersByTimeAsync(1);
    await expect(setting.right.send(Uint8Array.of(1))).rejects.toEqual(coded("connection-lost", "broken"));
  });

  it("goes on when what was unread is read", async () => {
    const setting = await new Setting().open();
    const bytes = 30 << 20;
    const sending = setting.left.send(new Uint8Array(bytes));
    await vi.advanceTimersByTimeAsync(50);
    const startMs = Date.now();
    const read = async (): Promise<void> => {
      for (let got = 0; got < bytes; ) got += (await setting.right.receive())?.length ?? 0;
    };
    await inTime(read());
    await sending;
    expect(Date.now() - startMs).toBeLessThan(1000);
    setting.left.abort(over);
  });

  it("goes both ways though one side never reads", async () => {
    const setting = await new Setting().open();
    const unread = Promise.allSettled(Array.from({ length: 40 }, () => setting.right.send(new Uint8Array(1 << 18))));
    let got = 0;
    const reading = (async () => {
      for (;;) got += (await setting.right.receive())?.length ?? 0;
    })();
    reading.catch(() => {});
    for (let sent = 0; sent < 24; sent++) await inTime(setting.left.send(new Uint8Array(1 << 20)));
    await vi.advanceTimersByTimeAsync(10);
    expect(got).toBe(24 << 20);
    setting.left.abort(over);
    await unread;
  });
});

describe("a link that breaks the rules is dropped, and nothing of it passed on", () => {
  const wrongs: Record<string, (peer: ResumePeer) => Promise<void>> = {
    "a number too high": (peer) => peer.sendData(2, 9),
    "a number again": (peer) => peer.sendData(0, 9),
    "more than there is room for": (peer) => peer.sendData(8 << 20, 1, 2),
    "an end at the wrong place": (peer) => peer.send(ResumeType.end, 0, 7),
    "an acknowledgement of what was not sent": (peer) => peer.send(ResumeType.ack, 0, 4),
    "all done, which it is not": (peer) => peer.send(ResumeType.done),
    "an unknown frame": (peer) => peer.connection.send(new Uint8Array(16).fill(99)),
    "an end in order without a close": (peer) => peer.connection.close(),
  };

  it.each(Object.keys(wrongs))("%s", async (name) => {
    const { connection, peer, peers } = await handMade();
    await connection.send(Uint8Array.of(1, 2, 3));
    await peer.sendData(0, 8);
    expect(await connection.receive()).toEqual(Uint8Array.of(8));
    const isTooMuch = name === "more than there is room for";
    // The room is 8 MiB, and one byte more has been taken.
    for (let at = 1; isTooMuch && at < 8 << 20; at += 1 << 16) {
      await peer.sendData(at, ...new Uint8Array(Math.min(1 << 16, (8 << 20) - at)));
    }
    await vi.advanceTimersByTimeAsync(50);
    expect(peers).toHaveLength(1);
    await wrongs[name]?.(peer);
    await vi.advanceTimersByTimeAsync(100);
    const next = peers[1] as ResumePeer;
    const opening = await next.readOpening();
    expect(opening).toMatchObject({ isNew: false, attempt: 3, received: isTooMuch ? 8 << 20 : 1 });
    await next.sendAnswer({ attempt: 3, received: 2 });
    expect(await next.nextOf(ResumeType.data)).toMatchObject({ number: 2, size: 1, data: Uint8Array.of(3) });
    connection.abort(over);
  });

  it("an acknowledgement behind an earlier one", async () => {
    const { connection, peer, peers } = await handMade();
    await connection.send(Uint8Array.of(1, 2, 3));
    await peer.send(ResumeType.ack, 100, 3);
    await peer.send(ResumeType.ack, 100, 2);
    await vi.advanceTimersByTimeAsync(10);
    expect(peers).toHaveLength(2);
    connection.abort(over);
  });

  it("an acknowledgement of what went over an earlier link, and not over this one yet", async () => {
    const { connection, peer, peers } = await handMade();
    const bytes = 3 << 20;
    const sending = connection.send(new Uint8Array(bytes));
    sending.catch(() => {});
    for (let got = 0; got < bytes; ) got += (await peer.nextOf(ResumeType.data)).size;
    peer.connection.abort(over);
    await vi.advanceTimersByTimeAsync(1);
    const next = peers[1] as ResumePeer;
    await next.readOpening();
    const answer = encodeAnswer({ verdict: "accepted", attempt: 3, silenceMs: 10_000, received: 0 });
    await next.connection.send(Buffer.concat([answer, encodeControl(ResumeType.ack, 1 << 30, bytes)]));
    await vi.advanceTimersByTimeAsync(100);
    expect(peers).toHaveLength(3);
    connection.abort(over);
  });

  it("something after the end", async () => {
    const { connection, peer, peers } = await handMade();
    await peer.sendData(0, 1);
    await peer.send(ResumeType.end, 0, 1);
    await peer.sendData(2, 1);
    await vi.advanceTimersByTimeAsync(10);
    expect(peers).toHaveLength(2);
    expect(await readAll(connection)).toEqual([1]);
    connection.abort(over);
  });
});

describe("the end of a resumable connection", () => {
  const total = 700;

  it.each(CUTS)("comes in order wherever the link is cut (%s)", { timeout: 60_000 }, async (how: Cut) => {
    let uncut = 0;
    for (let budget = 80 + 32; budget < total; budget += how === "silence" ? 7 : 1) {
      const setting = new Setting({ silenceMs: 200 });
      let isFirst = true;
      setting.makeLink = () => {
        const link = isFirst ? new TestLink(budget, how) : new TestLink();
        isFirst = false;
        return link;
      };
      const { left } = await setting.open({ silenceMs: 200 });
      const both = Promise.all([
        (async () => {
          await left.send(Uint8Array.of(1, 2, 3));
          await left.close();
          return await readAll(left);
        })(),
        (async () => {
          while (setting.right === undefined) await vi.advanceTimersByTimeAsync(1);
          const { right } = setting;
          const got = await readAll(right);
          await right.send(Uint8Array.of(4, 5));
          await right.close();
          return got;
        })(),
      ]);
      expect(await inTime(both), `cut after ${budget} bytes`).toEqual([
        [4, 5],
        [1, 2, 3],
      ]);
      if (!setting.links[0]?.isCut) uncut += 1;
      await vi.advanceTimersByTimeAsync(40_000);
      expect(vi.getTimerCount(), `timers after a cut after ${budget} bytes`).toBe(0);
      expect(setting.ends, `ends after a cut after ${budget} bytes`).toEqual([undefined, undefined]);
      if (uncut > 3) return;
    }
    expect.fail("no link was long enough for all of it");
  });

  it("is told to a peer whose other side aborts, at once", async () => {
    const setting = await new Setting().open();
    const waiting = setting.right.receive();
    waiting.catch(() => {});
    setting.left.abort(new Error("a secret of this side"));
    await vi.advanceTimersByTimeAsync(1);
    await expect(waiting).rejects.toEqual(coded("connection-lost", "broken the connection off"));
    await vi.advanceTimersByTimeAsync(2000);
    expect(setting.links).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
    expect(setting.reasons.join()).toContain("broken the connection off");
  });

  it("is told by the acceptor, when it can be, to a side that was not there when its peer aborted", async () => {
    const setting = await new Setting().open();
    let isThere = false;
    setting.makeLink = () => {
      if (isThere) return new TestLink();
      throw refused;
    };
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(100);
    setting.right.abort(over);
    isThere = true;
    await expect(inTime(setting.left.receive())).rejects.toEqual(coded("session-unknown"));
  });

  it("leaves nothing behind where the other side does not answer the farewell", async () => {
    const { connection, peer } = await handMade();
    connection.abort(over);
    expect(await peer.nextOf(ResumeType.abort)).toBeDefined();
    await vi.advanceTimersByTimeAsync(990);
    await peer.send(ResumeType.ping);
    await vi.advanceTimersByTimeAsync(20);
    await expect(peer.send(ResumeType.ping)).rejects.toEqual(coded("connection-lost"));
    expect(vi.getTimerCount()).toBe(0);
  });

  it("leaves nothing behind where both sides have closed", async () => {
    const setting = await new Setting().open();
    await Promise.all([setting.left.close(), setting.right.close()]);
    expect(await setting.left.receive()).toBeUndefined();
    expect(await setting.right.receive()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(5);
    expect(vi.getTimerCount()).toBe(0);
    await expect(setting.link.here.send(Uint8Array.of(1))).rejects.toEqual(coded("closed"));
    await expect(setting.link.there.send(Uint8Array.of(1))).rejects.toEqual(coded("closed"));
  });
});

describe("silence", () => {
  it("is filled with pings: an idle link lasts", async () => {
    const setting = await new Setting().open();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(setting.links).toHaveLength(1);
    expect(setting.states).toEqual([]);
    // 16 bytes each way, not more often than every tick of 2.5 s.
    expect(setting.link.bytes).toBeLessThanOrEqual(80 + 32 + 2 * 240 * 16);
    expect(setting.link.bytes).toBeGreaterThan(2 * 100 * 16);
    setting.left.abort(over);
  });

  it("is filled as often as the other side needs it", async () => {
    const setting = await new Setting({ silenceMs: 100 }).open({ silenceMs: 60_000 });
    await vi.advanceTimersByTimeAsync(5000);
    expect(setting.links).toHaveLength(1);
    setting.left.abort(over);
  });

  it("needs no pings where something is sent", async () => {
    const { connection, peer } = await handMade({ silenceMs: 1000 });
    const types = new Set<number>();
    const reading = (async () => {
      for (let part = await peer.next(); part !== undefined; part = await peer.next()) types.add(part.type);
    })();
    reading.catch(() => {});
    for (let turn = 0; turn < 50; turn++) {
      await connection.send(Uint8Array.of(1));
      await peer.send(ResumeType.ping);
      await vi.advanceTimersByTimeAsync(100);
    }
    expect([...types].sort()).toEqual([ResumeType.data, ResumeType.ack]);
    connection.abort(over);
  });

  it("ends the link after its time, not before", async () => {
    const { connection, peers } = await handMade({ silenceMs: 4000 });
    await vi.advanceTimersByTimeAsync(3900);
    expect(peers).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1200);
    expect(peers).toHaveLength(2);
    connection.abort(over);
  });

  it("is none where this side does not read on, since nobody takes the many small pieces", async () => {
    const { connection, peer, peers } = await handMade({ silenceMs: 4000 });
    const pieces = 80_000;
    const frame = new Uint8Array(RESUME_HEADER_BYTES + 1);
    // In many sends: what has been read already is taken whole.
    for (let number = 0; number < pieces; ) {
      const frames: Uint8Array[] = [];
      for (const end = number + 1000; number < end; number++) {
        writeResumeHeader(frame, ResumeType.data, 1, number);
        frames.push(frame.slice());
      }
      await peer.connection.send(Buffer.concat(frames));
    }
    await vi.advanceTimersByTimeAsync(60_000);
    expect(peers).toHaveLength(1);
    for (let got = 0; got < pieces; ) got += ((await connection.receive()) as Uint8Array).length;
    expect(peers).toHaveLength(1);
    connection.abort(over);
  });

  it("is none where this process was held up", async () => {
    const { connection, peers } = await handMade({ silenceMs: 4000 });
    vi.setSystemTime(Date.now() + 60_000);
    await vi.advanceTimersByTimeAsync(1100);
    expect(peers).toHaveLength(1);
    connection.abort(over);
  });
});

describe("a resumable connection that does not come about", () => {
  it("rejects with what the first dial rejects with, and does not try again", async () => {
    const dial = vi.fn(() => Promise.reject(refused));
    await expect(resumableConnect(dial)).rejects.toBe(refused);
    expect(dial).toHaveBeenCalledOnce();
  });

  it("tells that nobody answers, in time, or that it is somebody else", async () => {
    const silent = new TestLink();
    await expect(inTime(resumableConnect(async () => silent.here))).rejects.toEqual(
      coded("connect-failed", "10000 ms"),
    );
    const other = new TestLink();
    await other.there.send(new TextEncoder().encode("HTTP/1.1 400 Bad Request"));
    await expect(resumableConnect(async () => other.here)).rejects.toEqual(
      coded("connect-failed", "did not answer as"),
    );
    const ending = new TestLink();
    await ending.there.close();
    await expect(resumableConnect(async () => ending.here)).rejects.toEqual(coded("connect-failed", "ended"));
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    ["giveUpMs", 0],
    ["giveUpMs", Number.NaN],
    ["replayBytes", -1],
    ["silenceMs", 99],
    ["maxSessions", 0],
  ])("refuses %s of %s", async (name, value) => {
    expect(() => new ResumableAcceptor({ [name]: value }, () => {})).toThrow(coded("argument", name) as Error);
    if (name === "maxSessions") return;
    const dial = vi.fn();
    await expect(resumableConnect(dial, { [name]: value })).rejects.toEqual(coded("argument", name));
    expect(dial).not.toHaveBeenCalled();
  });
});
