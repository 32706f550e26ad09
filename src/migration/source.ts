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
import { hex } from "../wire/hex.js";
import { decodeMessage, FrameType } from "../wire/messages.js";
import { encodePageRuns, type PageRun } from "../wire/page-runs.js";
import { Channel } from "./channel.js";
import { allocatedPages, draw } from "./dirty-sample.js";
import type { MigrationError } from "./errors.js";
import { digestOf, drawFingerprintSeed, loadDigest, sha256, zeroFingerprints } from "./fingerprints.js";
import { forecastPrecopy } from "./forecast.js";
import { Inbox } from "./inbox.js";
import { MemoryLayout } from "./layout.js";
import { LinkMeter } from "./link.js";
import type { MigrateOptions } from "./options.js";
import { PageServer, type ServedPages } from "./page-server.js";
import type { Forecast } from "./prediction.js";
import { type MeasuredLink, probeLink } from "./probe.js";
import { PushWindow } from "./push-window.js";
import { type MeasuredRound, RoundMeasure } from "./round-measure.js";
import { DirtyScanner } from "./scanner.js";

/** A destination that hears nothing for so long is told that the source is alive. */
const ALIVE_AFTER_MS = 1000;

/** As many as a state of CPU and devices may have. */
const REHEARSED_PAGES = 128;

/** While the machine runs, others on this thread, such as its emulator, get their turn after so much work. */
const TURN_MS = 4;

/** The memory that followed the machine, from the pause on. */
export interface ServedRound {
  readonly round: MeasuredRound;
  readonly digest: string;
  readonly served: ServedPages;
}

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
  /** Whether the machine may run at the destination before its memory is there. */
  isLazy = false;
  /** What all memory comes to, once the destination has been told so: it may hold all of it from then on. */
  sentDigest: string | undefined;
  readonly #guest: Guest;
  readonly #channel: Channel;
  readonly #inbox: Inbox;
  readonly #layout: MemoryLayout;
  readonly #encoder: PageEncoder;
  readonly #onProgress: (progress: RoundProgress) => void;
  #scanner: DirtyScanner | undefined;
  #round = 0;
  #isCommitted = false;
  #probed: MeasuredLink | undefined;
  /** Of each page: how many rounds after the first found it dirty. */
  readonly #heat: Uint8Array;
  /** Where the memory follows the machine. */
  #serving: Serving | undefined;
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
    this.#heat = new Uint8Array(layout.memoryPages);
    const choice = encoder.compressionChoice;
    this.link = new LinkMeter((bytesPerSecond, isFull) => choice?.observeLink(bytesPerSecond, isFull));
    this.#inbox = new Inbox(channel, timeoutMs, {
      confirmed: (bytes) => {
        const believed = Math.min(bytes, this.bytesSent);
        if (this.#serving === undefined) this.link.confirmed(believed, performance.now());
        else this.#pushed(believed, this.#serving);
      },
      wanted: (body) => {
        if (this.#serving !== undefined) return this.#serving.server.wanted(body);
        throw new WireError("message-malformed", "The destination wants pages before the machine is to run there.");
      },
    });
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
      onPages: (pages, classes) => {
        onPages?.(pages, classes, source.#round);
        source.#serving?.server.encoded(pages, classes);
      },
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

  /** As measured by whatever is sent just now. */
  get linkBytesPerSecond(): number {
    return this.#serving?.window.bytesPerSecond ?? this.link.bytesPerSecond;
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

  /** Before anything of the machine is sent over it. */
  async #measureLink(): Promise<MeasuredLink> {
    this.#probed = await probeLink(this.#channel, this.#inbox);
    return this.#probed;
  }

  /** Measures the link, and sends some pages while the machine still runs: nothing is done for the first time, and slowly, while it stands still. */
  async rehearse(): Promise<void> {
    await this.#measureLink();
    const scanner = this.#scanner as DirtyScanner;
    const pages = draw(allocatedPages(this.#guest, this.#layout), REHEARSED_PAGES, Math.random);
    for (const page of pages) scanner.scanPages(page, 1, (first, bytes) => this.#encoder.add(first, bytes));
    this.#encoder.flush();
    await this.#sendBatches();
  }

  /** What a pre-copy would come to; nothing of the machine is sent. */
  async forecast(options: MigrateOptions): Promise<Forecast> {
    return await forecastPrecopy(this.#guest, this.#layout, await this.#measureLink(), this.pausedSpeedup, options);
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
    await this.#sendState(state);
    const digest = await digestOf((this.#scanner as DirtyScanner).fingerprints, stateDigest);
    await this.#send(this.#channel.send("verify", { digest, stateBytes: state.length }));
    await this.#inbox.expect(FrameType.ready);
    return { round: this.#endRound(measure), digest };
  }

  /**
   * With the machine paused: sends the state alone. The destination is ready to run the machine when this returns; what the machine wants of its memory
   * is answered from now on.
   */
  async copyState(saving: Promise<Uint8Array>): Promise<void> {
    // Pages that travel once need not be remembered for deltas.
    this.#encoder.mayPass = this.#round === 0;
    const measure = this.#beginMeasure();
    const state = await saving;
    const stateDigest = sha256(state);
    await this.#sendState(state);
    const roundTripMs = Math.min(this.roundTripMs, this.#probed?.roundTripMs ?? this.roundTripMs);
    const window = new PushWindow(this.link.bytesPerSecond || (this.#probed?.bytesPerSecond ?? 0), roundTripMs);
    // It counts from here.
    window.confirmed(this.encoded.encodedBytes, performance.now());
    const server = new PageServer({
      guest: this.#guest,
      layout: this.#layout,
      scanner: this.#scanner as DirtyScanner,
      encoder: this.#encoder,
      window,
      heat: this.#heat,
      sendBatches: () => this.#sendBatches(),
      sendClean: (runs) => this.#sendClean(runs),
      guard: (promise) => this.#inbox.guard(promise),
      onProgress: (settledPages) => this.#onProgress({ round: this.#round, pagesScanned: settledPages }),
    });
    const ending = server.run();
    ending.catch((error) => this.#inbox.fail(error));
    this.#serving = { server, window, ending, measure, stateDigest };
    const message = { stateDigest: hex(new Uint8Array(await stateDigest)), stateBytes: state.length };
    await this.#send(this.#channel.send("switchOver", message));
    await this.#inbox.expect(FrameType.ready);
  }

  /** Sends the memory behind the machine that has been given away; the destination holds all of it when this returns. */
  async serve(lostAfterMs: number): Promise<ServedRound> {
    const { server, window, ending, measure, stateDigest } = this.#serving as Serving;
    this.#inbox.timeoutMs = lostAfterMs;
    server.startPushing();
    await ending;
    const digest = await digestOf((this.#scanner as DirtyScanner).fingerprints, stateDigest);
    this.sentDigest = digest;
    await this.#send(this.#channel.send("allSent", { digest }));
    await this.#inbox.expect(FrameType.allHere);
    const { served } = server;
    measure.pagesDirty = served.requested + served.pushed;
    return { round: this.#endRound(measure, window.bytesPerSecond), digest, served };
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
    const { hasBase, isLazy } = decodeMessage("accept", body);
    this.isLazy = isLazy;
    const fingerprints = hasBase
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

  async #sendDirtyPages(isRunning: boolean): Promise<RoundMeasure> {
    const scanner = this.#scanner as DirtyScanner;
    const measure = this.#beginMeasure();
    let turnMs = performance.now();
    this.link.begin(turnMs);
    let pagesScanned = 0;
    const windows = scanner.scanRound(isRunning, (firstPage, pages) => {
      this.#encoder.add(firstPage, pages);
      if (this.#round > 0) this.#heatUp(firstPage, pages.length / this.#layout.pageBytes);
    });
    for await (const { pageCount, dirty } of windows) {
      measure.pagesDirty += dirty;
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

  /** While pages are pushed, what is on its way is held back here, and so the window knows the link. */
  #pushed(bytes: number, { server, window }: Serving): void {
    this.link.counted(bytes);
    server.confirmed(bytes);
    if (window.bytesPerSecond > 0) this.#encoder.compressionChoice?.observeLink(window.bytesPerSecond, true);
  }

  #heatUp(firstPage: number, pageCount: number): void {
    for (let page = firstPage; page < firstPage + pageCount; page++) {
      this.#heat[page] = Math.min(255, (this.#heat[page] as number) + 1);
    }
  }

  /** The state's pages come behind those of the memory; the rest of the last one is zeros. */
  async #sendState(state: Uint8Array): Promise<void> {
    const { pageBytes, memoryPages } = this.#layout;
    const whole = state.length - (state.length % pageBytes);
    this.#encoder.add(memoryPages, state.subarray(0, whole));
    const last = new Uint8Array(pageBytes);
    last.set(state.subarray(whole));
    if (whole < state.length) this.#encoder.add(memoryPages + whole / pageBytes, last);
    this.#encoder.flush();
    await this.#sendBatches();
  }

  async #sendClean(runs: readonly PageRun[]): Promise<void> {
    const sending = encodePageRuns(runs).map((body) => this.#channel.sendBytes(FrameType.clean, body));
    await this.#send(Promise.all(sending).then(() => {}));
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

  #beginMeasure(): RoundMeasure {
    return new RoundMeasure({ bytesSent: this.bytesSent, encoded: this.encoded });
  }

  #endRound(measure: RoundMeasure, linkBytesPerSecond: number = this.link.bytesPerSecond): MeasuredRound {
    const { memoryPages, pageBytes } = this.#layout;
    const round = { round: this.#round++, pagesScanned: memoryPages, linkBytesPerSecond };
    return measure.end({ bytesSent: this.bytesSent, encoded: this.encoded }, round, pageBytes);
  }
}

interface Serving {
  readonly server: PageServer;
  readonly window: PushWindow;
  readonly ending: Promise<void>;
  readonly measure: RoundMeasure;
  readonly stateDigest: Promise<ArrayBuffer>;
}
