import type { LazyMemory } from "../guest/guest.js";
import { bitmapBytes } from "../kernel/arena.js";
import { hasBit, setBits } from "../kernel/bitmap.js";
import { WireError } from "../wire/errors.js";
import { decodeMessage, FrameType } from "../wire/messages.js";
import { decodePageRuns, encodePageRuns, type PageRun } from "../wire/page-runs.js";
import { type Channel, expectFrame } from "./channel.js";
import type { MemoryLayout } from "./layout.js";
import { PageRuns, visitRunsWhere } from "./page-runs.js";

/** What a client needs of the destination. */
export interface FollowedMachine {
  readonly channel: Channel;
  readonly lazy: LazyMemory;
  readonly layout: MemoryLayout;
  /** Brings a batch's pages into the host's memory; {@link PageClient.written} hears of them. */
  takeBatch(body: Uint8Array): Promise<void>;
  /** Done after pages were let in, when nobody waits for them any more. */
  afterArrival(): void;
}

/**
 * The memory of a machine that runs here before it: asks the source for what the machine waits for, and lets pages in as they come or are called
 * clean, each once.
 */
export class PageClient {
  /** Resolves when the source has given the machine away. */
  readonly committed: Promise<void>;
  readonly #machine: FollowedMachine;
  readonly #present: Uint8Array;
  readonly #asked: Uint8Array;
  readonly #written = new PageRuns();
  #presentPages = 0;
  #isCommitted = false;
  #commit: () => void = () => {};

  constructor(machine: FollowedMachine) {
    const { lazy, layout } = machine;
    this.#machine = machine;
    this.#present = new Uint8Array(bitmapBytes(layout.memoryPages));
    this.#asked = new Uint8Array(bitmapBytes(layout.memoryPages));
    this.committed = new Promise((resolve) => {
      this.#commit = resolve;
    });
    lazy.onFault = (firstPage, pageCount) => this.#ask({ firstPage, pageCount });
  }

  isMissing(page: number): boolean {
    return !hasBit(this.#present, page);
  }

  /** Pages of one region have been written, and are let in with the rest of their batch. Throws `message-malformed` where they have been before. */
  written(firstPage: number, pageCount: number): void {
    this.#checkMissing({ firstPage, pageCount });
    this.#written.add(firstPage, pageCount);
  }

  /**
   * Lets pages in until the source says that it has sent them all; returns what they and the state must come to. Rejects with `timeout` where it is silent
   * for `silenceMs()`.
   */
  async run(silenceMs: () => number | undefined): Promise<string> {
    const { channel, layout, takeBatch, afterArrival } = this.#machine;
    const { batch, clean, commit, allSent } = FrameType;
    for (;;) {
      const frame = await expectFrame(channel, silenceMs(), batch, clean, commit, allSent);
      if (frame.type === batch) {
        await takeBatch(frame.body);
        for (const run of this.#written.take()) this.#letIn(run);
        afterArrival();
      } else if (frame.type === clean) {
        for (const run of decodePageRuns(frame.body, layout.memoryPages)) {
          this.#checkMissing(run);
          this.#letIn(run);
        }
      } else if (frame.type === commit) {
        if (this.#isCommitted) throw malformed("The source gave the machine away twice.");
        this.#isCommitted = true;
        this.#commit();
      } else {
        const missing = layout.memoryPages - this.#presentPages;
        if (!this.#isCommitted || missing > 0)
          throw malformed(`The source says that it is through; ${missing} pages are missing.`);
        return decodeMessage("allSent", frame.body).digest;
      }
    }
  }

  #ask(run: PageRun): void {
    const wanted: PageRun[] = [];
    visitRunsWhere(
      run,
      (page) => this.isMissing(page) && !hasBit(this.#asked, page),
      (missing) => {
        setBits(this.#asked, missing.firstPage, missing.pageCount);
        wanted.push(missing);
      },
    );
    for (const body of encodePageRuns(wanted)) {
      // Where it cannot be sent, nothing comes either, and that is noticed.
      this.#machine.channel.sendBytes(FrameType.wanted, body).catch(() => {});
    }
  }

  #letIn(run: PageRun): void {
    const { lazy, layout } = this.#machine;
    setBits(this.#present, run.firstPage, run.pageCount);
    this.#presentPages += run.pageCount;
    layout.split(run.firstPage, run.pageCount, (first, count) => lazy.arrived(first, count));
  }

  #checkMissing({ firstPage, pageCount }: PageRun): void {
    for (let page = firstPage; page < firstPage + pageCount; page++) {
      if (!this.isMissing(page)) throw malformed(`The source sent page ${page} twice.`);
    }
  }
}

function malformed(message: string): WireError {
  return new WireError("message-malformed", message);
}
