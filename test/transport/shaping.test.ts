import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection } from "../../src/transport/connection.js";
import { delayConnection } from "../../src/transport/latency.js";
import { limitBandwidth } from "../../src/transport/limit.js";
import { connectionPair } from "../../src/transport/pair.js";

/** What arrives at a connection, with the (faked) time of each chunk in ms since the start. */
function record(connection: Connection): { bytes: number; atMs: number }[] {
  const startedMs = performance.now();
  const arrivals: { bytes: number; atMs: number }[] = [];
  void (async () => {
    for (let chunk = await connection.receive(); chunk !== undefined; chunk = await connection.receive()) {
      arrivals.push({ bytes: chunk.length, atMs: performance.now() - startedMs });
    }
    arrivals.push({ bytes: 0, atMs: performance.now() - startedMs });
  })().catch(() => {});
  return arrivals;
}

const total = (arrivals: readonly { bytes: number }[]): number => arrivals.reduce((sum, { bytes }) => sum + bytes, 0);
const argument = expect.objectContaining({ name: "TransportError", code: "argument" });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("limitBandwidth", () => {
  it("sends at the rate, smoothly, also what comes in one large piece", async () => {
    const [left, right] = connectionPair();
    const arrivals = record(right);
    const limited = limitBandwidth(left, { bytesPerSecond: 1_000_000, burstBytes: 10_000 });
    let isSent = false;
    const sending = limited.send(new Uint8Array(510_000)).then(() => {
      isSent = true;
    });
    await vi.advanceTimersByTimeAsync(250);
    expect(isSent).toBe(false);
    for (const { bytes, atMs } of arrivals) {
      expect(bytes).toBeLessThanOrEqual(10_000);
      const before = total(arrivals.filter((arrival) => arrival.atMs <= atMs));
      expect(before).toBeLessThanOrEqual(10_000 + atMs * 1000);
      expect(before).toBeGreaterThanOrEqual(atMs * 1000 - 1000);
    }
    expect(total(arrivals)).toBeGreaterThanOrEqual(250_000);
    await vi.advanceTimersByTimeAsync(251);
    await sending;
    expect(total(arrivals)).toBe(510_000);
  });

  it("lets a burst pass after a pause, and no more than a burst however long the pause was", async () => {
    const [left, right] = connectionPair();
    const arrivals = record(right);
    const limited = limitBandwidth(left, { bytesPerSecond: 1000, burstBytes: 500 });
    await vi.advanceTimersByTimeAsync(3_600_000);
    const sending = limited.send(new Uint8Array(2000));
    await vi.advanceTimersByTimeAsync(0);
    expect(total(arrivals)).toBe(500);
    await vi.advanceTimersByTimeAsync(1500);
    expect(total(arrivals)).toBe(2000);
    await sending;
  });

  it("makes up for timers that are late", async () => {
    const [left, right] = connectionPair();
    const arrivals = record(right);
    const limited = limitBandwidth(left, { bytesPerSecond: 300_000 });
    const sending = limited.send(new Uint8Array(306_000));
    // Faked timers come at whole milliseconds, so most of them late.
    await vi.advanceTimersByTimeAsync(1001);
    expect(total(arrivals)).toBe(306_000);
    await sending;
  });

  it("holds the sender back and closes after everything", async () => {
    const [left, right] = connectionPair();
    const arrivals = record(right);
    const limited = limitBandwidth(left, { bytesPerSecond: 1000, burstBytes: 100 });
    limited.send(new Uint8Array(1100));
    let isClosed = false;
    const closing = limited.close().then(() => {
      isClosed = true;
    });
    await vi.advanceTimersByTimeAsync(900);
    expect(isClosed).toBe(false);
    await vi.advanceTimersByTimeAsync(101);
    await closing;
    expect(arrivals.at(-1)?.bytes).toBe(0);
    expect(total(arrivals)).toBe(1100);
  });

  it("leaves no timer behind an abort, and rejects a waiting close", async () => {
    const limited = limitBandwidth(connectionPair()[0], { bytesPerSecond: 1, burstBytes: 1 });
    const sending = limited.send(new Uint8Array(100));
    const closing = limited.close();
    await vi.advanceTimersByTimeAsync(10);
    expect(vi.getTimerCount()).toBe(1);
    const reason = new Error("enough");
    const outcomes = Promise.all([expect(sending).rejects.toBe(reason), expect(closing).rejects.toBe(reason)]);
    limited.abort(reason);
    await outcomes;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("refuses rates that are none", () => {
    const [left] = connectionPair();
    for (const bytesPerSecond of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => limitBandwidth(left, { bytesPerSecond })).toThrow(argument);
    }
    expect(() => limitBandwidth(left, { bytesPerSecond: 1, burstBytes: 0 })).toThrow(argument);
  });
});

describe("delayConnection", () => {
  it("passes everything on so much later, and holds nobody back for that", async () => {
    const [left, right] = connectionPair();
    const arrivals = record(right);
    const delayed = delayConnection(left, { latencyMs: 100 });
    for (let piece = 0; piece < 10; piece++) {
      await delayed.send(new Uint8Array(1000 + piece));
      await vi.advanceTimersByTimeAsync(7);
    }
    expect(arrivals).toEqual([]);
    await vi.advanceTimersByTimeAsync(100);
    expect(arrivals).toEqual(
      Array.from({ length: 10 }, (_, piece) => ({ bytes: 1000 + piece, atMs: 100 + 7 * piece })),
    );
  });

  it("closes when everything has been passed on, as late as a send would be", async () => {
    const [left, right] = connectionPair();
    const arrivals = record(right);
    const delayed = delayConnection(left, { latencyMs: 50 });
    await delayed.send(new Uint8Array(10));
    await vi.advanceTimersByTimeAsync(20);
    const closing = delayed.close();
    await vi.advanceTimersByTimeAsync(10);
    delayed.close();
    await vi.advanceTimersByTimeAsync(100);
    await closing;
    expect(arrivals).toEqual([
      { bytes: 10, atMs: 50 },
      { bytes: 0, atMs: 70 },
    ]);
  });

  it("counts no send that was refused or empty", async () => {
    const [left, right] = connectionPair();
    const arrivals = record(right);
    const delayed = delayConnection(left, { latencyMs: 50 });
    await expect(delayed.send("text" as unknown as Uint8Array)).rejects.toEqual(argument);
    await delayed.send(new Uint8Array(0));
    await vi.advanceTimersByTimeAsync(30);
    await delayed.send(new Uint8Array(10));
    await vi.advanceTimersByTimeAsync(100);
    expect(arrivals).toEqual([{ bytes: 10, atMs: 80 }]);
  });

  it("loses what is on the way at an abort, and leaves no timer behind", async () => {
    const [left, right] = connectionPair();
    const arrivals = record(right);
    const delayed = delayConnection(left, { latencyMs: 50 });
    await delayed.send(new Uint8Array(10));
    delayed.abort(new Error("enough"));
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(100);
    expect(arrivals).toEqual([]);
  });

  it("tells the sender when the connection under it is lost", async () => {
    const [left, right] = connectionPair();
    const delayed = delayConnection(left, { latencyMs: 50 });
    await delayed.send(new Uint8Array(10));
    right.abort(new Error("enough"));
    await vi.advanceTimersByTimeAsync(100);
    await expect(delayed.send(new Uint8Array(10))).rejects.toEqual(
      expect.objectContaining({ code: "connection-lost" }),
    );
    await expect(delayed.close()).rejects.toEqual(expect.objectContaining({ code: "connection-lost" }));
  });

  it("refuses latencies that are none", () => {
    for (const latencyMs of [-1, Number.NaN, 60_001]) {
      expect(() => delayConnection(connectionPair()[0], { latencyMs })).toThrow(argument);
    }
  });
});
