import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Progress } from "../../src/migration/progress.js";
import { Feed } from "../../src/worker/feed.js";
import type { MachineNews } from "../../src/worker/messages.js";

/** A frame of 60 a second. */
const FRAME_MS = 17;

/** All that was told, which may be told only with the memory that stands in it. */
function feedInto(told: MachineNews[]): Feed {
  return new Feed((news, transfer) => {
    const lists = news.news === "console" ? [news.bytes] : news.news === "pages" ? [news.pages, news.classes] : [];
    expect(transfer).toHaveLength(lists.length);
    for (const [at, { byteLength, buffer }] of lists.entries()) {
      expect(transfer[at]).toBe(buffer);
      expect(byteLength).toBe(buffer.byteLength);
    }
    told.push(news);
  });
}

const progressOf = (round: number): Progress => ({ round }) as Progress;

describe("what a worker tells in pieces", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("is all that happened, in its order, whatever comes in between", () => {
    const step = fc.oneof(
      fc.record({ does: fc.constant("print" as const), first: fc.nat(255), length: fc.nat(6000) }),
      fc.record({ does: fc.constant("past" as const), bytes: fc.uint8Array({ maxLength: 50 }) }),
      fc.record({
        does: fc.constant("pages" as const),
        first: fc.nat(2 ** 31),
        length: fc.nat(6000),
        round: fc.integer({ min: 0, max: 2 }),
      }),
      fc.record({ does: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 20 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const told: MachineNews[] = [];
        const feed = feedInto(told);
        const printed: number[] = [];
        const sent: string[] = [];
        for (const each of steps) {
          if (each.does === "wait") vi.advanceTimersByTime(each.ms);
          else if (each.does === "print") {
            const bytes = Uint8Array.from({ length: each.length }, (_, at) => each.first + at);
            for (const byte of bytes) feed.print(byte);
            printed.push(...bytes);
          } else if (each.does === "past") {
            feed.printPast(each.bytes);
            printed.push(-1, ...each.bytes);
            each.bytes.fill(0xee);
          } else {
            const pages = Uint32Array.from({ length: each.length }, (_, at) => each.first + at);
            const classes = Uint8Array.from(pages, (page) => page % 7);
            feed.pages(pages, classes, each.round);
            sent.push(...Array.from(pages, (page) => `${each.round} ${page} ${page % 7}`));
            // They are the encoder's, which goes on writing into them.
            pages.fill(0);
            classes.fill(0);
          }
        }
        vi.advanceTimersByTime(FRAME_MS);
        expect(vi.getTimerCount()).toBe(0);
        expect(
          told.flatMap((word) =>
            word.news === "console" ? (word.isPast ? [-1, ...word.bytes] : Array.from(word.bytes)) : [],
          ),
        ).toEqual(printed);
        expect(
          told.flatMap((word) =>
            word.news === "pages"
              ? Array.from(word.pages, (page, at) => `${word.round} ${page} ${word.classes[at]}`)
              : [],
          ),
        ).toEqual(sent);
      }),
      { numRuns: 60 },
    );
  });

  it("comes once a frame, however much there is", () => {
    const told: MachineNews[] = [];
    const feed = feedInto(told);
    for (let at = 0; at < 1000; at++) {
      feed.print(at & 255);
      feed.pages(Uint32Array.of(at), Uint8Array.of(5), 0);
      feed.progress(progressOf(at));
    }
    expect(told).toEqual([]);
    vi.advanceTimersByTime(FRAME_MS);
    expect(told.map(({ news }) => news)).toEqual(["console", "pages", "progress"]);
    expect(told[2]).toEqual({ news: "progress", progress: progressOf(999) });
    vi.advanceTimersByTime(10 * FRAME_MS);
    expect(told).toHaveLength(3);
    feed.print(65);
    vi.advanceTimersByTime(FRAME_MS);
    expect(told.slice(3)).toEqual([{ news: "console", bytes: Uint8Array.of(65), isPast: false }]);
  });

  it("does not wait for the frame where it is flushed, and answers wait for nothing", () => {
    const told: MachineNews[] = [];
    const feed = feedInto(told);
    feed.flush();
    expect(told).toEqual([]);
    feed.print(65);
    feed.answer("PF uptime 1.00");
    feed.flush();
    expect(told).toEqual([
      { news: "answer", line: "PF uptime 1.00" },
      { news: "console", bytes: Uint8Array.of(65), isPast: false },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
