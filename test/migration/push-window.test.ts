import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PushWindow } from "../../src/migration/push-window.js";

const KIB = 1024;

/** Figures of a link, as they are at a time. */
interface LinkRates {
  readonly bytesPerMs: (nowMs: number) => number;
  readonly roundTripMs: (nowMs: number) => number;
}

/** What a link came to from some time on. */
interface Watched {
  /** How long an answer would have waited behind pushed pages after each time something was sent; ascending. */
  readonly waitsMs: readonly number[];
  readonly bytesPerMs: number;
}

/** A link that sends one thing after the other, and its two ends: time is only what happens. */
class SimulatedLink {
  nowMs = 0;
  sentBytes = 0;
  confirmedBytes = 0;
  readonly #window: PushWindow;
  readonly #rates: LinkRates;
  readonly #confirmations: { readonly totalBytes: number; readonly atMs: number }[] = [];
  #idleFromMs = 0;

  constructor(window: PushWindow, rates: LinkRates) {
    this.#window = window;
    this.#rates = rates;
  }

  /** How long something that was sent now would wait at the link. */
  get waitMs(): number {
    return Math.max(0, this.#idleFromMs - this.nowMs - this.#rates.roundTripMs(this.nowMs) / 2);
  }

  send(bytes: number): void {
    const oneWayMs = this.#rates.roundTripMs(this.nowMs) / 2;
    const startMs = Math.max(this.#idleFromMs, this.nowMs + oneWayMs);
    this.#idleFromMs = startMs + bytes / this.#rates.bytesPerMs(startMs);
    this.sentBytes += bytes;
    // Confirmations do not overtake each other.
    const atMs = Math.max(this.#idleFromMs + oneWayMs, this.#confirmations.at(-1)?.atMs ?? 0);
    this.#confirmations.push({ totalBytes: this.sentBytes, atMs });
    this.#window.sent(this.sentBytes, this.nowMs);
  }

  /** Goes on to the next confirmation. */
  step(): void {
    const next = this.#confirmations.shift();
    if (next === undefined) throw new Error("nothing is on its way: this would wait for ever");
    this.nowMs = next.atMs;
    this.confirmedBytes = next.totalBytes;
    this.#window.confirmed(next.totalBytes, this.nowMs);
  }

  /** Pushes whatever there is room for, from `fromMs` to `toMs` watched. `sizes` says how much of what was asked for a batch has in the end. */
  push(fromMs: number, toMs: number, sizes: () => number = () => 1): Watched {
    const waitsMs: number[] = [];
    let watched: { readonly bytes: number; readonly ms: number } | undefined;
    while (this.nowMs < toMs) {
      while (this.#window.room > 0) this.send(Math.ceil(this.#window.batchBytes * sizes()));
      if (this.nowMs >= fromMs) {
        watched ??= { bytes: this.confirmedBytes, ms: this.nowMs };
        waitsMs.push(this.waitMs);
      }
      this.step();
    }
    if (watched === undefined) throw new Error("nothing was confirmed in time");
    waitsMs.sort((left, right) => left - right);
    return { waitsMs, bytesPerMs: (this.confirmedBytes - watched.bytes) / (this.nowMs - watched.ms) };
  }
}

function steady(bytesPerMs: number, roundTripMs: number): LinkRates {
  return { bytesPerMs: () => bytesPerMs, roundTripMs: () => roundTripMs };
}

/** An answer waits behind hardly more than 2 ms of pushed pages and a batch, but for the rounds in which the round trip is measured anew; and the link is used. */
function expectSettled({ waitsMs, bytesPerMs }: Watched, linkBytesPerMs: number): void {
  const batchMs = Math.max(1, (4 * KIB) / linkBytesPerMs);
  expect(waitsMs[Math.floor(waitsMs.length * 0.95)]).toBeLessThanOrEqual(2.8 + batchMs);
  expect(bytesPerMs).toBeGreaterThanOrEqual(0.85 * linkBytesPerMs);
}

const MEASURED = { unknown: [0, Number.POSITIVE_INFINITY], right: [1, 1], low: [0.2, 1], high: [5, 2] } as const;

describe.each(Object.entries(MEASURED))("push window, the link's rate %s", (_, [rate, delay]) => {
  it.each([
    [12.5, 0],
    [12.5, 40],
    [100, 0],
    [100, 1],
    [100, 40],
    [1000, 0],
    [1000, 0.3],
  ])("finds %f MB/s at %f ms", (megabytesPerSecond, roundTripMs) => {
    const bytesPerMs = megabytesPerSecond * 1000;
    const window = new PushWindow(rate * bytesPerMs * 1000, rate === 0 ? delay : delay * roundTripMs);
    const link = new SimulatedLink(window, steady(bytesPerMs, roundTripMs));
    const settledMs = Math.max(300, 20 * roundTripMs);
    expectSettled(link.push(settledMs, settledMs + 2500), bytesPerMs);
  });
});

describe("push window", () => {
  it("finds any link's rate, whatever becomes of the batches' sizes", () => {
    const links = fc.record({
      bytesPerMs: fc.double({ min: Math.log(5000), max: Math.log(1e6), noNaN: true }).map(Math.exp),
      roundTripMs: fc.double({ min: 0, max: 60, noNaN: true }),
      shares: fc.array(fc.double({ min: 0.6, max: 1, noNaN: true }), { minLength: 1 }),
    });
    fc.assert(
      fc.property(links, ({ bytesPerMs, roundTripMs, shares }) => {
        const link = new SimulatedLink(new PushWindow(0, Number.POSITIVE_INFINITY), steady(bytesPerMs, roundTripMs));
        const settledMs = Math.max(300, 20 * roundTripMs);
        let batch = 0;
        const sizes = (): number => shares[batch++ % shares.length] as number;
        expectSettled(link.push(settledMs, settledMs + 2500, sizes), bytesPerMs);
      }),
      { numRuns: 60, seed: 9 },
    );
  });

  it.each([
    [12.5, 100, 0],
    [100, 12.5, 0],
    [12.5, 100, 40],
    [100, 12.5, 40],
    [1000, 12.5, 1],
    [12.5, 1000, 1],
  ])("follows a link that goes from %f to %f MB/s at %f ms", (before, after, roundTripMs) => {
    const bytesPerMs = (nowMs: number): number => (nowMs < 1500 ? before : after) * 1000;
    const link = new SimulatedLink(new PushWindow(0, Number.POSITIVE_INFINITY), {
      bytesPerMs,
      roundTripMs: () => roundTripMs,
    });
    const settledMs = 1500 + Math.max(200, 16 * roundTripMs);
    expectSettled(link.push(settledMs, settledMs + 2500), after * 1000);
  });

  it("follows a round trip that becomes longer", () => {
    const roundTripMs = (nowMs: number): number => (nowMs < 1000 ? 1 : 40);
    const link = new SimulatedLink(new PushWindow(12.5e6, 1), { bytesPerMs: () => 12_500, roundTripMs });
    expectSettled(link.push(8000, 12_000), 12_500);
  });

  it("does not take its own queue for a longer and longer round trip", () => {
    const link = new SimulatedLink(new PushWindow(12.5e6, 40), steady(12_500, 40));
    expectSettled(link.push(30_000, 40_000), 12_500);
  });

  it("does not fill an idle link at one go", () => {
    const link = new SimulatedLink(new PushWindow(12.5e6, 40), steady(12_500, 40));
    link.push(2000, 2100);
    while (link.confirmedBytes < link.sentBytes) link.step();
    expect(Math.max(...link.push(link.nowMs, link.nowMs + 1).waitsMs)).toBeLessThan(3);
  });

  it("does not grow where there is little to send, and lets that through", () => {
    const window = new PushWindow(10e6, 10);
    const link = new SimulatedLink(window, steady(1e6, 10));
    for (let answers = 0; answers < 1000; answers++) {
      link.send(1000);
      expect(window.room).toBeGreaterThan(0);
      link.step();
    }
    expect(window.batchBytes).toBe(10_000);
    expect(window.bytesPerSecond).toBe(10e6);
  });

  it("knows the link's rate once it was measured", () => {
    const window = new PushWindow(0, Number.POSITIVE_INFINITY);
    expect(window.bytesPerSecond).toBe(0);
    new SimulatedLink(window, steady(50_000, 5)).push(0, 400);
    expect(window.bytesPerSecond).toBeGreaterThan(0.95 * 50e6);
    expect(window.bytesPerSecond).toBeLessThan(1.05 * 50e6);
  });

  it("asks for batches of half of what an answer may wait for, within bounds", () => {
    const sizes = [1, 1e6, 12.5e6, 200e6, 10e9].map((rate) => new PushWindow(rate, 0).batchBytes);
    expect(sizes).toEqual([4 * KIB, 4 * KIB, 12_500, 200_000, 256 * KIB]);
  });

  it("has room as soon as nothing is on its way, whatever was sent before and however it was confirmed", () => {
    for (const confirmedFirst of [true, false]) {
      const window = new PushWindow(12.5e6, 1);
      if (confirmedFirst) window.confirmed(50e6, 0);
      window.sent(50e6, 1);
      if (!confirmedFirst) {
        expect(window.room).toBeLessThanOrEqual(0);
        window.confirmed(50e6, 2);
      }
      expect(window.room).toBeGreaterThan(0);
      window.sent(50e6 + 64 * KIB, 3);
      expect(window.room).toBeLessThanOrEqual(0);
      window.confirmed(50e6, 4);
      window.confirmed(1, 4);
      expect(window.room).toBeLessThanOrEqual(0);
      window.confirmed(50e6 + 64 * KIB, 5);
      expect(window.room).toBeGreaterThan(0);
    }
  });

  it("takes no round trip from a confirmation of what was sent before it was there", () => {
    const window = new PushWindow(12.5e6, 40);
    const link = new SimulatedLink(window, steady(12_500, 40));
    link.sentBytes = 50e6;
    link.send(4 * KIB);
    window.confirmed(50e6, 0.1);
    link.push(0, 190);
    // Twice as much in each round trip: a window for one of 0.1 ms would let two batches through.
    expect(link.confirmedBytes - 50e6).toBeGreaterThan(16 * window.batchBytes);
  });

  it("is not led astray by confirmations of what was never sent", () => {
    const window = new PushWindow(12.5e6, 1);
    for (let at = 1; at <= 100; at++) {
      window.sent(at * 10_000, at);
      window.confirmed(at * 1e12, at + 0.5);
      expect(window.room).toBeLessThan(64 * KIB);
      expect(window.batchBytes).toBe(12_500);
    }
  });
});
