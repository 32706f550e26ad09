import type { Guest } from "../guest/guest.js";
import { nextTurn } from "../guest/turn.js";
import { FINGERPRINT_BYTES } from "../kernel/fingerprint.js";
import { createKernels } from "../kernel/load.js";
import { createPageEncoder } from "../page/create.js";
import type { EncodedPages, PageEncoder } from "../page/encoder.js";
import { fittingCacheBytes } from "../page/limits.js";
import type { Connection } from "../transport/connection.js";
import { type Codec, decodeBatchHeader } from "../wire/batch.js";
import { WireError } from "../wire/errors.js";
import { decodeMessage, FrameType } from "../wire/messages.js";
import { Channel } from "./channel.js";
import type { MigrationError } from "./errors.js";
import { digestOf, drawFingerprintSeed, loadDigest, sha256, zeroFingerprints } from "./fingerprints.js";
import { Inbox } from "./inbox.js";
import { MemoryLayout } from "./layout.js";
import { LinkMeter } from "./link.js";
import type { MigrateOptions } from "./options.js";
import type { RoundReport } from "./report.js";
import { DirtyScanner } from "./scanner.js";

/** A destination that hears nothing for so long is told that the source is alive. */
const ALIVE_AFTER_MS = 1000;

/** While the machine runs, others on this thread, such as its emulator, get their turn after so much work. */
const TURN_MS = 4;

/** A round as it was measured; what was decided at its end is not known yet. */
export type MeasuredRound = Omit<RoundReport, "dirtyPagesPerSecond" | "expectedDowntimeMs" | "decision">;

/** How far a round is. */
export interface RoundProgress {
  readonly round: number;
  readonly pagesScanned: number;
}

/** The data of one migration on its way: rounds of pages, the state, and what both must come to. What is done when, strategies say. */
export class Source {
  readonly link: LinkMeter;
  readonly batches: Record<Codec, number> = { none: 0, lz4: 0, zstd: 0 };
  /** The shortest time between the end of a round and its confirmation. */
  roundTripMs: number = Number.POSITIVE_INFINITY;
  readonly #guest: Guest;
  readonly #channel: Channel;
  readonly #inbox: Inbox;
  readonly #layout: MemoryLayout;
  readonly #encoder: PageEncoder;
  readonly #onProgress: (progress: RoundProgress) => void;
  #scanner: DirtyScanner | undefined;
  #round = 0;
  #isCommitted = false;
  #lastSentMs = performance.now();
  /** Batches that were passed on, until more may be. */
  readonly #passing: Promise<void>[] = [];

  private constructor(
    guest: Guest,
    channel: Channel,
    layout: MemoryLayout,
    encoder: PageEncoder,
    timeoutMs: number,
    onProgress: (progress: RoundProgress) => void,
  ) {
    this.#guest = guest;
    this.#channel = channel;
    this.#layout = layout;
    this.#encoder = encoder;
    this.#onProgress = onProgress;
    const choice = encoder.compressionChoice;
    this.link = new LinkMeter((bytesPerSecond, isFull) => choice?.observeLink(bytesPerSecond, isFull));
    this.#inbox = new Inbox(channel, timeoutMs, (bytes) =>
      this.link.confirmed(Math.min(bytes, this.bytesSent), performance.now()),
    );
  }

  /** Greets the destination, announces the machine and waits until there is room for it. */
  static async open(
    guest: Guest,
    connection: Connection,
    session: string,
    options: MigrateOptions,
    onProgress: (progress: RoundProgress) => void,
  ): Promise<Source> {
    const { machine } = guest;
    const { compression, cacheBytes, stateMaxBytes, timeoutMs, onPages } = options;
    const layout = new MemoryLayout(machine, stateMaxBytes);
    const { pageBytes, pageCount, memoryPages } = layout;
    const fitting = fittingCacheBytes({ pageBytes, pageCount: memoryPages }, cacheBytes);
    const space = { pageBytes, pageCount, compression, cacheBytes: fitting };
    const encoder = await createPageEncoder({
      ...space,
      onBatch: (batch) => source.#pass(batch),
      onPages: onPages && ((pages, classes) => onPages(pages, classes, source.#round)),
    });
    const channel = await Channel.open(connection, timeoutMs);
    const source: Source = new Source(guest, channel, layout, encoder, timeoutMs, onProgress);
    await source.#announce(session, options);
    return source;
  }

  get bytesSent(): number {
    return this.#channel.bytesSent;
  }

  get encoded(): EncodedPages {
    return this.#encoder.encoded;
  }

  get memoryPages(): number {
    return this.#layout.memoryPages;
  }

  /** How many times as fast a scan is when the machine stands still. */
  get pausedSpeedup(): number {
    return this.#scanner?.pausedSpeedup ?? 1;
  }

  /** Why which codec was chosen, where it was for the engine to choose. */
  get compressionExplanation(): string | undefined {
    return this.#encoder.compressionChoice?.explanation;
  }

  /** Throws where something has failed or the migration was cancelled. */
  check(): void {
    this.#inbox.check();
  }

  /** Scans all memory once and sends what is not at the destination; the destination has confirmed all of it at the end. */
  async copyRound(): Promise<MeasuredRound> {
    // Most pages come once; those that come again are the ones whose deltas count.
    this.#encoder.mayPass = this.#round === 0;
    const measure = await this.#sendDirtyPages(true);
    const sentMs = performance.now();
    await this.#send(this.#channel.send("roundEnd", { round: this.#round }));
    const { body } = await this.#inbox.expect(FrameType.roundDone);
    const { round } = decodeMessage("roundDone", body);
    if (round !== this.#round) {
      throw new WireError(
        "message-malformed",
        `The destination confirmed round ${round} where ${this.#round} was due.`,
      );
    }
    this.roundTripMs = Math.min(this.roundTripMs, performance.now() - sentMs);
    return this.#endRound(measure);
  }

  /**
   * With the machine paused: sends what is still dirty, and the state once it is there, and has the destination compare a digest of everything.
   * The destination is ready to run the machine when this returns.
   */
  async copyRest(saving: Promise<Uint8Array>): Promise<{ readonly round: MeasuredRound; readonly digest: string }> {
    this.#encoder.mayPass = false;
    const measure = await this.#sendDirtyPages(false);
    const state = await saving;
    const stateDigest = sha256(state);
    const { pageBytes, memoryPages } = this.#layout;
    const whole = state.length - (state.length % pageBytes);
    this.#encoder.add(memoryPages, state.subarray(0, whole));
    const last = new Uint8Array(pageBytes);
    last.set(state.subarray(whole));
    if (whole < state.length) this.#encoder.add(memoryPages + whole / pageBytes, last);
    this.#encoder.flush();
    await this.#sendBatches();
    const digest = await digestOf((this.#scanner as DirtyScanner).fingerprints, stateDigest);
    await this.#send(this.#channel.send("verify", { digest, stateBytes: state.length }));
    await this.#inbox.expect(FrameType.ready);
    return { round: this.#endRound(measure), digest };
  }

  /** Gives the machine away. From the call on it may run at the destination. */
  async commit(): Promise<void> {
    this.#isCommitted = true;
    await this.#send(this.#channel.send("commit", {}));
    await this.#inbox.expect(FrameType.running);
  }

  /** Ends everything with an error, unless the machine has been given away. */
  cancel(reason: MigrationError): void {
    if (!this.#isCommitted) this.#inbox.fail(reason);
  }

  /** Tells the destination, if it still listens, that it is over. */
  giveUp(reason: MigrationError): Promise<void> {
    return this.#channel.sayGoodbye(reason);
  }

  close(): Promise<void> {
    return this.#channel.close();
  }

  async #announce(session: string, { stateMaxBytes, compression }: MigrateOptions): Promise<void> {
    const { machine } = this.#guest;
    const { pageBytes, memoryPages } = this.#layout;
    const fingerprintSeed = drawFingerprintSeed();
    await loadDigest();
    await this.#send(this.#channel.send("announce", { session, machine, stateMaxBytes, fingerprintSeed, compression }));
    const { body } = await this.#inbox.expect(FrameType.accept);
    const fingerprints = decodeMessage("accept", body).hasBase
      ? await this.#receiveBase(memoryPages)
      : zeroFingerprints(await createKernels(), fingerprintSeed, pageBytes, memoryPages);
    this.#scanner = await DirtyScanner.create(this.#guest, this.#layout, fingerprintSeed, fingerprints);
  }

  async #receiveBase(memoryPages: number): Promise<Uint8Array> {
    const fingerprints = new Uint8Array(memoryPages * FINGERPRINT_BYTES);
    for (let at = 0; at < fingerprints.length; ) {
      const { body } = await this.#inbox.expect(FrameType.base);
      if (body.length === 0 || body.length % FINGERPRINT_BYTES !== 0 || at + body.length > fingerprints.length) {
        throw new WireError("message-malformed", "The fingerprints of the base do not fit the machine.");
      }
      fingerprints.set(body, at);
      at += body.length;
    }
    return fingerprints;
  }

  async #sendDirtyPages(isRunning: boolean): Promise<Measure> {
    const scanner = this.#scanner as DirtyScanner;
    const measure = {
      startMs: performance.now(),
      scanMs: 0,
      dirty: 0,
      bytesSent: this.bytesSent,
      encoded: this.encoded,
    };
    let turnMs = performance.now();
    this.link.begin(turnMs);
    let pagesScanned = 0;
    const windows = scanner.scanRound(isRunning, (firstPage, pages) => this.#encoder.add(firstPage, pages));
    for await (const { pageCount, dirty } of windows) {
      measure.dirty += dirty;
      pagesScanned += pageCount;
      await this.#sendBatches();
      this.#onProgress({ round: this.#round, pagesScanned });
      if (performance.now() - this.#lastSentMs > ALIVE_AFTER_MS) {
        await this.#send(this.#channel.sendBytes(FrameType.alive, new Uint8Array(0)));
      }
      if (isRunning && performance.now() - turnMs > TURN_MS) {
        await nextTurn();
        turnMs = performance.now();
      }
      this.#inbox.check();
    }
    measure.scanMs = scanner.scanMs;
    this.#encoder.flush();
    await this.#sendBatches();
    return measure;
  }

  #pass(batch: Uint8Array): void {
    this.batches[decodeBatchHeader(batch).codec] += 1;
    const passing = this.#channel.sendBytes(FrameType.batch, batch);
    // Where it fails before anybody waits for it, the next one who waits hears of it.
    passing.catch(() => {});
    this.#passing.push(passing);
  }

  /** Waits until the batches that there are may be followed by more. */
  async #sendBatches(): Promise<void> {
    if (this.#passing.length === 0) return;
    const startMs = performance.now();
    await this.#send(Promise.all(this.#passing.splice(0)).then(() => {}));
    this.link.waited(performance.now() - startMs);
  }

  /** Waits until more may be sent. */
  async #send(sending: Promise<void>): Promise<void> {
    this.#lastSentMs = performance.now();
    await this.#inbox.guard(sending);
  }

  #endRound({ startMs, scanMs, dirty, bytesSent, encoded: before }: Measure): MeasuredRound {
    const { zero, fill, dup, delta, novel, unchanged, residualBytes } = this.encoded;
    return {
      round: this.#round++,
      durationMs: performance.now() - startMs,
      scanMs,
      pagesScanned: this.#layout.memoryPages,
      pagesDirty: dirty,
      pagesByClass: {
        zero: zero - before.zero,
        fill: fill - before.fill,
        dup: dup - before.dup,
        delta: delta - before.delta,
        novel: novel - before.novel,
        unchanged: unchanged - before.unchanged,
      },
      rawBytes: dirty * this.#layout.pageBytes,
      residualBytes: residualBytes - before.residualBytes,
      transferredBytes: this.bytesSent - bytesSent,
      linkBytesPerSecond: this.link.bytesPerSecond,
    };
  }
}

interface Measure {
  readonly startMs: number;
  scanMs: number;
  dirty: number;
  readonly bytesSent: number;
  readonly encoded: EncodedPages;
}
