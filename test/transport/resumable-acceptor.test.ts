import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection, Peer } from "../../src/transport/connection.js";
import { resumableConnect } from "../../src/transport/resumable.js";
import { ResumableAcceptor } from "../../src/transport/resumable-acceptor.js";
import { ResumeType } from "../../src/wire/resume.js";
import { TestLink } from "../support/links.js";
import { coded, inTime, over, refused, Setting } from "../support/resumable.js";
import { ResumePeer } from "../support/resume-peer.js";

const ALPHA: Peer = { name: "alpha", fingerprint: "aa" };
const BETA: Peer = { name: "beta", fingerprint: "bb" };
const TOKEN = new Uint8Array(32).fill(7);

/** A connecting side that is played by hand. */
function visit(acceptor: ResumableAcceptor, peer?: Peer): ResumePeer {
  const link = new TestLink(undefined, undefined, [undefined, peer]);
  acceptor.accept(link.there);
  return new ResumePeer(link.here);
}

/** An acceptor with one session of {@link TOKEN}, and that session at both ends. */
async function oneSession(peer?: Peer): Promise<{
  acceptor: ResumableAcceptor;
  session: Connection;
  visitor: ResumePeer;
  arrived: Connection[];
}> {
  const arrived: Connection[] = [];
  const acceptor = new ResumableAcceptor({}, (connection) => arrived.push(connection));
  const visitor = visit(acceptor, peer);
  await visitor.sendOpening({ token: TOKEN });
  expect(await visitor.readAnswer()).toEqual({ verdict: "accepted", attempt: 1, silenceMs: 10_000, received: 0 });
  await visitor.send(ResumeType.ack, 1 << 20, 0);
  return { acceptor, session: arrived[0] as Connection, visitor, arrived };
}

const isLost = (peer: ResumePeer): Promise<void> =>
  expect(peer.nextOf(ResumeType.abort)).rejects.toEqual(coded("connection-lost"));

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("an acceptor", () => {
  it("gives a session its next link, and tells what was received; the older link is broken off", async () => {
    const { acceptor, session, visitor, arrived } = await oneSession();
    await visitor.sendData(0, 1, 2, 3);
    expect(await session.receive()).toEqual(Uint8Array.of(1, 2, 3));
    await session.send(Uint8Array.of(4, 5));
    const next = visit(acceptor);
    await next.sendOpening({ isNew: false, attempt: 3, token: TOKEN, received: 1 });
    expect(await next.readAnswer()).toMatchObject({ verdict: "accepted", attempt: 3, received: 3 });
    expect(await next.nextOf(ResumeType.data)).toMatchObject({ number: 1, data: Uint8Array.of(5) });
    await isLost(visitor);
    await next.sendData(3, 6);
    expect(await session.receive()).toEqual(Uint8Array.of(6));
    expect(arrived).toHaveLength(1);
    session.abort(over);
  });

  it("takes nothing from a link that another one has replaced", async () => {
    const { acceptor, session, visitor } = await oneSession();
    const next = visit(acceptor);
    await next.sendOpening({ isNew: false, attempt: 3, token: TOKEN });
    await next.readAnswer();
    await visitor.sendData(0, 1).catch(() => {});
    await next.sendData(0, 2);
    await vi.advanceTimersByTimeAsync(5);
    expect(await session.receive()).toEqual(Uint8Array.of(2));
    session.abort(over);
  });

  it("tells who resumes what it does not know", async () => {
    const { acceptor, session } = await oneSession();
    const stranger = visit(acceptor);
    await stranger.sendOpening({ isNew: false, attempt: 3, token: new Uint8Array(32).fill(8) });
    expect(await stranger.readAnswer()).toMatchObject({ verdict: "unknown", attempt: 0, received: 0 });
    expect(await stranger.next()).toBeUndefined();
    session.abort(over);
    const late = visit(acceptor);
    await late.sendOpening({ isNew: false, attempt: 3, token: TOKEN });
    expect(await late.readAnswer()).toMatchObject({ verdict: "unknown" });
    await vi.advanceTimersByTimeAsync(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    ["another certificate", BETA],
    ["none", undefined],
  ])("refuses the right token from a peer with %s, and the session goes on", async (_, thief) => {
    const { acceptor, session, visitor } = await oneSession(ALPHA);
    expect(session.peer).toBe(ALPHA);
    const next = visit(acceptor, thief);
    await next.sendOpening({ isNew: false, attempt: 3, token: TOKEN });
    expect(await next.readAnswer()).toMatchObject({ verdict: "refused", received: 0 });
    await visitor.sendData(0, 1);
    expect(await session.receive()).toEqual(Uint8Array.of(1));
    // Nor has the attempt made later ones stale.
    const again = visit(acceptor, { ...ALPHA });
    await again.sendOpening({ isNew: false, attempt: 3, token: TOKEN });
    expect(await again.readAnswer()).toMatchObject({ verdict: "accepted", received: 1 });
    session.abort(over);
  });

  it("answers an attempt that a newer one has overtaken, and keeps the newer one's link", async () => {
    const { acceptor, session } = await oneSession();
    const newer = visit(acceptor);
    await newer.sendOpening({ isNew: false, attempt: 5, token: TOKEN });
    await newer.readAnswer();
    for (const attempt of [3, 5]) {
      const stale = visit(acceptor);
      await stale.sendOpening({ isNew: false, attempt, token: TOKEN });
      expect(await stale.readAnswer()).toMatchObject({ verdict: "stale", attempt: 5 });
    }
    await newer.sendData(0, 1);
    expect(await session.receive()).toEqual(Uint8Array.of(1));
    session.abort(over);
  });

  it.each([1, 3, 2 ** 40])("refuses to go on at %i where that cannot be, and the session goes on", async (received) => {
    const { acceptor, session, visitor } = await oneSession();
    await session.send(Uint8Array.of(1, 2));
    await visitor.send(ResumeType.ack, 1 << 20, 2);
    await vi.advanceTimersByTimeAsync(1);
    const next = visit(acceptor);
    await next.sendOpening({ isNew: false, attempt: 3, token: TOKEN, received });
    expect(await next.readAnswer()).toMatchObject({ verdict: "refused" });
    await session.send(Uint8Array.of(3));
    expect(await visitor.nextOf(ResumeType.data)).toBeDefined();
    session.abort(over);
  });

  it("refuses a new session with the token of one that there is", async () => {
    const { acceptor, session, arrived } = await oneSession();
    const again = visit(acceptor);
    await again.sendOpening({ token: TOKEN });
    expect(await again.readAnswer()).toMatchObject({ verdict: "refused" });
    expect(arrived).toHaveLength(1);
    session.abort(over);
  });

  it("has so many sessions at most, and room again when one has ended", async () => {
    const setting = new Setting({ maxSessions: 2 });
    await setting.open();
    const first = setting.right;
    await setting.open();
    await expect(setting.open()).rejects.toEqual(coded("connect-failed", "too many connections"));
    first.abort(over);
    await setting.open();
    // One that is lost still counts: it may come back.
    setting.makeLink = () => {
      throw refused;
    };
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(1000);
    setting.makeLink = () => new TestLink();
    await expect(resumableConnect(setting.dial)).rejects.toEqual(coded("connect-failed", "too many connections"));
    await vi.advanceTimersByTimeAsync(31_000);
  });

  it("lets no crowd of silent visitors keep others out", async () => {
    const { acceptor, session } = await oneSession();
    const silent = Array.from({ length: 200 }, () => visit(acceptor));
    const next = visit(acceptor);
    await next.sendOpening({ isNew: false, attempt: 3, token: TOKEN });
    expect(await next.readAnswer()).toMatchObject({ verdict: "accepted" });
    for (const visitor of silent.slice(0, 130)) await isLost(visitor);
    const waiting = silent.slice(140).map((visitor) => isLost(visitor));
    await vi.advanceTimersByTimeAsync(9000);
    expect(vi.getTimerCount()).toBeGreaterThan(50);
    await vi.advanceTimersByTimeAsync(1001);
    await Promise.all(waiting);
    session.abort(over);
    await vi.advanceTimersByTimeAsync(1001);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("breaks off who does not open, opens slowly, or says something else", async () => {
    const arrived = vi.fn();
    const acceptor = new ResumableAcceptor({}, arrived);
    const slow = visit(acceptor);
    const trickle = async (): Promise<void> => {
      for (;;) {
        await slow.connection.send(Uint8Array.of(0x50));
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    };
    trickle().catch(() => {});
    const ending = visit(acceptor);
    await ending.connection.send(Uint8Array.of(0x50, 0x46));
    await ending.connection.close();
    const other = visit(acceptor);
    await other.connection.send(new Uint8Array(56).fill(1));
    const lost = Promise.all([isLost(other), isLost(slow)]);
    await vi.advanceTimersByTimeAsync(10_001);
    await lost;
    await expect(ending.connection.receive()).rejects.toEqual(coded("connection-lost"));
    await vi.advanceTimersByTimeAsync(1000);
    expect(arrived).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that is closed leaves connections alone until they lose their link, and takes no others", async () => {
    const setting = await new Setting().open();
    const pending = visit(setting.acceptor);
    setting.acceptor.close();
    await isLost(pending);
    await isLost(visit(setting.acceptor));
    await setting.left.send(Uint8Array.of(1));
    expect(await setting.right.receive()).toEqual(Uint8Array.of(1));
    const waiting = setting.right.receive();
    setting.link.cut("reset");
    await expect(waiting).rejects.toEqual(coded("connection-lost", "cannot be resumed"));
    setting.left.abort(over);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that is closed gives up what is lost already", async () => {
    const setting = await new Setting().open();
    setting.makeLink = () => {
      throw refused;
    };
    const waiting = setting.right.receive();
    waiting.catch(() => {});
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(1000);
    setting.acceptor.close();
    await expect(waiting).rejects.toEqual(coded("connection-lost", "cannot be resumed"));
    setting.left.abort(over);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("where either side can reconnect", () => {
  /** Both sides have an acceptor; which of them can reach the other is for the test to say. */
  async function bothListen(): Promise<{
    setting: Setting;
    reach: { left: boolean; right: boolean };
    dials: string[];
  }> {
    const reach = { left: true, right: true };
    const dials: string[] = [];
    const there = new ResumableAcceptor({}, () => expect.fail("nobody opens a session here"));
    const setting: Setting = new Setting({
      dial: async (peer) => {
        expect(peer).toBeUndefined();
        dials.push("right");
        if (!reach.right) throw refused;
        const link = new TestLink();
        setting.links.push(link);
        there.accept(link.here);
        return link.there;
      },
    });
    setting.makeLink = () => {
      dials.push("left");
      if (!reach.left) throw refused;
      return new TestLink();
    };
    await setting.open({ acceptor: there });
    return { setting, reach, dials };
  }

  it.each([
    ["only the opening side", { left: true, right: false }],
    ["only the accepting side", { left: false, right: true }],
    ["either", { left: true, right: true }],
  ])("%s reaches the other, and the connection goes on, again and again", async (_, can) => {
    const { setting, reach } = await bothListen();
    Object.assign(reach, can);
    for (let turn = 0; turn < 20; turn++) {
      setting.link.cut("reset");
      const sent = Promise.all([setting.left.send(Uint8Array.of(turn)), setting.right.send(Uint8Array.of(turn))]);
      expect(await inTime(setting.right.receive())).toEqual(Uint8Array.of(turn));
      expect(await inTime(setting.left.receive())).toEqual(Uint8Array.of(turn));
      await sent;
    }
    const closing = Promise.all([setting.left.close(), setting.right.close()]);
    expect(await inTime(setting.left.receive())).toBeUndefined();
    expect(await inTime(setting.right.receive())).toBeUndefined();
    await inTime(closing);
    await vi.advanceTimersByTimeAsync(2000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("settles on one link where both come at the same moment", async () => {
    const { setting } = await bothListen();
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(5000);
    const made = setting.links.length;
    await setting.left.send(Uint8Array.of(1));
    expect(await setting.right.receive()).toEqual(Uint8Array.of(1));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(setting.links).toHaveLength(made);
    expect(made).toBeLessThan(6);
    setting.left.abort(over);
    await vi.advanceTimersByTimeAsync(2000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("takes the accepting side's link where its own attempt gets no answer", async () => {
    const { setting, reach } = await bothListen();
    reach.left = reach.right = false;
    setting.link.cut("reset");
    await vi.advanceTimersByTimeAsync(100);
    const black = new TestLink();
    setting.makeLink = () => black;
    black.cut("silence");
    reach.left = true;
    await vi.advanceTimersByTimeAsync(1000);
    reach.right = true;
    await setting.left.send(Uint8Array.of(1));
    const startMs = Date.now();
    expect(await inTime(setting.right.receive())).toEqual(Uint8Array.of(1));
    expect(Date.now() - startMs).toBeLessThan(5000);
    setting.left.abort(over);
  });
});
