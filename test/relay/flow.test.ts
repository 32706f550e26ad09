import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LinkFlow } from "../../src/relay/flow.js";
import { SilenceWatch } from "../../src/relay/silence.js";

const KIB = 1024;
const MIB = 1024 * KIB;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "setImmediate", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A link that takes so many bytes a second, after a delay, and confirms each frame. */
class FakeLink {
  readonly rates: number[] = [];
  readonly flow = new LinkFlow((rate) => this.rates.push(rate));
  mostBytes = 0;
  receivedBytes = 0;
  #sentBytes = 0;
  #freeMs = 0;
  bytesPerSecond: number;
  roundTripMs: number;

  constructor(bytesPerSecond: number, roundTripMs: number) {
    this.bytesPerSecond = bytesPerSecond;
    this.roundTripMs = roundTripMs;
  }

  send(bytes: number): void {
    this.#sentBytes += bytes;
    this.mostBytes = Math.max(this.mostBytes, this.#sentBytes - this.receivedBytes);
    this.flow.sent(bytes);
    this.#freeMs = Math.max(this.#freeMs, performance.now()) + (bytes / this.bytesPerSecond) * 1000;
    const end = this.#sentBytes;
    setTimeout(() => this.#confirm(end), this.#freeMs - performance.now() + this.roundTripMs);
  }

  /** Sends frames of this size as soon as it may, for some time; returns what arrived a second. */
  async fill(frameBytes: number, ms: number): Promise<number> {
    const before = this.receivedBytes;
    const end = performance.now() + ms;
    const pump = (): void => {
      while (this.flow.isOpen && performance.now() < end) this.send(frameBytes);
      if (performance.now() < end) this.flow.whenOpen(pump);
    };
    pump();
    await vi.advanceTimersByTimeAsync(ms);
    return ((this.receivedBytes - before) / ms) * 1000;
  }

  #confirm(end: number): void {
    this.receivedBytes = end;
    this.flow.received(end);
  }
}

describe("the flow over a link", () => {
  it.each([
    [1e6, 0],
    [12.5e6, 0],
    [12.5e6, 40],
    [100e6, 1],
    [100e6, 40],
    [1e9, 0.1],
  ])(
    "fills one of %d bytes a second and %d ms there and back, and lets little lie before it",
    async (rate, roundTripMs) => {
      const link = new FakeLink(rate, roundTripMs);
      // The first frame, as QEMU's greeting, is small.
      link.send(100);
      await vi.advanceTimersByTimeAsync(roundTripMs + 10);
      const frameBytes = 200 * KIB;
      await link.fill(frameBytes, 1000);
      link.mostBytes = 0;
      expect(await link.fill(frameBytes, 2000)).toBeGreaterThan(rate * 0.95);
      const least = Math.max(256 * KIB, (rate / 1000) * (roundTripMs + 45));
      expect(link.mostBytes).toBeLessThan(Math.min(least, 16 * MIB) + frameBytes);
      expect(Math.max(...link.rates.slice(-20))).toBeLessThan(rate * 1.3);
    },
  );

  it("finds a link again that has become slower, faster or longer", async () => {
    for (const [rate, roundTripMs] of [
      [5e6, 40],
      [200e6, 0],
      [50e6, 150],
    ] as const) {
      const link = new FakeLink(50e6, 10);
      await link.fill(200 * KIB, 3000);
      Object.assign(link, { bytesPerSecond: rate, roundTripMs });
      await link.fill(200 * KIB, 70_000);
      expect(await link.fill(200 * KIB, 5000), `${rate}`).toBeGreaterThan(rate * 0.9);
    }
  });

  it("tells no rate of frames that did not fill it, nor of small ones", async () => {
    const link = new FakeLink(10e6, 10);
    for (let frame = 0; frame < 10; frame++) {
      link.send(100 * KIB);
      await vi.advanceTimersByTimeAsync(100);
    }
    for (let frame = 0; frame < 1100; frame++) link.send(1 * KIB);
    await vi.advanceTimersByTimeAsync(1000);
    expect(link.rates).toEqual([]);
  });

  it("lets those who wait go on in turn, and only while it is open", async () => {
    const link = new FakeLink(10e6, 10);
    while (link.flow.isOpen) link.send(512 * KIB);
    const called: number[] = [];
    for (const waiter of [1, 2, 3]) {
      link.flow.whenOpen(() => {
        called.push(waiter);
        while (link.flow.isOpen) link.send(512 * KIB);
      });
    }
    expect(called).toEqual([]);
    await vi.advanceTimersByTimeAsync(65);
    expect(called).toEqual([1]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(called).toEqual([1, 2, 3]);
  });

  it("does not believe that more was received than was sent, or less than before", () => {
    const flow = new LinkFlow(() => {});
    flow.sent(2 * MIB);
    flow.received(2 ** 60);
    flow.received(0);
    expect(flow.isOpen).toBe(true);
    flow.sent(20 * MIB);
    expect(flow.isOpen).toBe(false);
  });
});

describe("a watch for silence", () => {
  it("tells once when nothing came for half a millisecond, and not while something does", async () => {
    let silences = 0;
    const watch = new SilenceWatch(() => {
      silences += 1;
    });
    await vi.advanceTimersByTimeAsync(10);
    expect(silences).toBe(0);
    watch.heard();
    watch.heard();
    await vi.advanceTimersByTimeAsync(1);
    expect(silences).toBe(1);
    watch.heard();
    watch.stop();
    await vi.advanceTimersByTimeAsync(10);
    expect(silences).toBe(1);
    watch.heard();
    await vi.advanceTimersByTimeAsync(1);
    expect(silences).toBe(2);
  });
});
