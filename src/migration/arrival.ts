import type { FaultReport, Host, LazyMemory, Machine } from "../guest/guest.js";
import { createPageDecoder } from "../page/create.js";
import type { PageDecoder } from "../page/decoder.js";
import type { Peer } from "../transport/connection.js";
import { encodeConfirmation } from "../wire/confirmation.js";
import { WireError } from "../wire/errors.js";
import type { Frame } from "../wire/frame.js";
import { hex } from "../wire/hex.js";
import { BASE_MAX_BYTES, decodeMessage, FrameType, type Messages } from "../wire/messages.js";
import { ofDestination } from "./arrival-errors.js";
import type { SessionOutcome } from "./ask.js";
import { type Channel, expectFrame, withTimeout } from "./channel.js";
import { MigrationError } from "./errors.js";
import { digestOf, loadDigest, sha256 } from "./fingerprints.js";
import { MemoryLayout, memoryBytesOf } from "./layout.js";
import { LostArrival } from "./lost.js";
import { MAX_TIMER_MS } from "./options.js";
import { PageClient } from "./page-client.js";
import { MemoryVerifier } from "./verifier.js";

/** A machine that asks to be let in. */
export interface ArrivalRequest {
  readonly machine: Machine;
  /** Undefined where the transport proves nothing about who sends it. */
  readonly peer: Peer | undefined;
}

/** Options of a destination. */
export interface DestinationOptions {
  /** The host that shall take the machine; it is prepared after the machine has been let in. */
  readonly host: (request: ArrivalRequest) => Host | Promise<Host>;
  /** Who may bring what: true, or the reason why not. Asked before anything is allocated. */
  readonly authorise: (request: ArrivalRequest) => true | string | Promise<true | string>;
  /** The most bytes of memory of one machine. */
  readonly memoryLimitBytes: number;
  /** The most bytes of CPU and device state. Default 64 MiB. */
  readonly stateLimitBytes?: number;
  /** The most time to wait for a silent source. Default 30 s. */
  readonly timeoutMs?: number;
  /**
   * The same once the machine runs here and its memory follows. When it is over the machine is lost, so the default is to wait for ever. A connection
   * that is lost for good is not waited for.
   */
  readonly lostAfterMs?: number;
  /** Hears that a machine runs, as soon as it does, and whether its memory follows. */
  readonly onRunning?: (arriving: RunningArrival, isFollowed: boolean) => void;
}

/** A machine that runs here, whether its memory is there or follows. */
export interface RunningArrival {
  readonly machine: Machine;
  readonly peer: Peer | undefined;
  readonly host: Host;
}

/** A machine that has arrived and runs. */
export interface Arrival extends RunningArrival {
  /** From the announcement until the machine ran and all of its memory was there. */
  readonly totalTimeMs: number;
  /** Where the memory followed the machine: how long it waited for it. */
  readonly faults: FaultReport | undefined;
  /** Pages that came, in all rounds. */
  readonly pages: number;
  /** Bytes of the batches that brought them. */
  readonly receivedBytes: number;
  /** SHA-256 over all memory's fingerprints and the state, the same as at the source. */
  readonly digest: string;
}

/** While a host prepares, the source is told that this end is alive. */
const ALIVE_EVERY_MS = 1000;

/** One machine on its way in. Until the source's commit it can be discarded at any time; from then on it runs. */
export class ArrivalSession {
  readonly #channel: Channel;
  readonly #announcement: Messages["announce"];
  readonly #options: Required<DestinationOptions>;
  readonly #startMs = performance.now();
  #host: Host | undefined;
  #decoder: PageDecoder | undefined;
  #state = new Uint8Array(0);
  #pages = 0;
  #receivedBytes = 0;
  #reason: MigrationError | undefined;
  #discarding: Promise<void> | undefined;
  #starting: Promise<void> | undefined;
  /** What the host is at; it is asked for one thing at a time. */
  #working: Promise<unknown> = Promise.resolve();
  /** Where the memory follows the machine. */
  #client: PageClient | undefined;

  constructor(channel: Channel, announcement: Messages["announce"], options: Required<DestinationOptions>) {
    this.#channel = channel;
    this.#announcement = announcement;
    this.#options = options;
  }

  get name(): string {
    return this.#announcement.session;
  }

  /** Why the machine was discarded, if it was. */
  get discarded(): MigrationError | undefined {
    return this.#reason;
  }

  /** Takes the machine in, to the end; `onOutcome` hears that it runs, and that its memory is whole, before the source does. */
  async run(onOutcome: (outcome: SessionOutcome) => void): Promise<Arrival> {
    const host = await this.#letIn();
    const layout = new MemoryLayout(this.#announcement.machine, this.#announcement.stateMaxBytes);
    const verifier = await this.#prepare(host, layout);
    const last = await this.#receivePages(verifier);
    if (last.type === FrameType.switchOver) {
      return await this.#runFirst(host, layout, verifier, decodeMessage("switchOver", last.body), onOutcome);
    }
    const digest = await this.#verify(host, layout, verifier, decodeMessage("verify", last.body));
    await this.#sent(this.#channel.send("ready", {}));
    await this.#expect(FrameType.commit);
    await this.#start(host, () => onOutcome("running"));
    await host.lazy?.complete().catch(() => {});
    return this.#arrival(host, digest, undefined);
  }

  /** The machine runs first, and its memory follows. */
  async #runFirst(
    host: Host,
    layout: MemoryLayout,
    verifier: MemoryVerifier,
    { stateDigest, stateBytes }: Messages["switchOver"],
    onOutcome: (outcome: SessionOutcome) => void,
  ): Promise<Arrival> {
    const { lazy } = host;
    if (lazy === undefined) {
      throw new WireError("message-malformed", "The source wants to give the machine away before its memory is here.");
    }
    const state = this.#stateOf(stateBytes);
    const hashing = sha256(state);
    if (hex(new Uint8Array(await hashing)) !== stateDigest) throw differs("its state");
    let isRunning = false;
    const { lostAfterMs, timeoutMs } = this.#options;
    const client = new PageClient({
      channel: this.#channel,
      lazy,
      layout,
      takeBatch: (body) => this.#takeBatch(body),
      afterArrival: () => verifier.catchUp(),
    });
    this.#client = client;
    // Loading the state may touch memory already.
    const coming = client.run(() => (!isRunning ? timeoutMs : lostAfterMs > MAX_TIMER_MS ? undefined : lostAfterMs));
    coming.catch(() => {});
    await Promise.race([coming, this.#work(() => host.loadState(state))]);
    await this.#sent(this.#channel.send("ready", {}));
    await Promise.race([coming, client.committed]);
    await this.#start(host, () => {
      isRunning = true;
      onOutcome("following");
    });
    let digest: string;
    try {
      digest = await Promise.race([coming, endOf(lazy)]);
      verifier.catchUp();
      if ((await digestOf(verifier.fingerprints, hashing)) !== digest) throw differs("its memory");
    } catch (cause) {
      const { machine } = this.#announcement;
      throw new LostArrival({ machine, host, isMissing: (page) => client.isMissing(page) }, ofDestination(cause));
    }
    onOutcome("running");
    // All of it is here: that the source does not hear of it, or something is still to be cleared up, does not undo it.
    await this.#sent(this.#channel.send("allHere", {})).catch(() => {});
    const faults = await lazy.faultReport();
    await lazy.complete().catch(() => {});
    return this.#arrival(host, digest, faults);
  }

  async #start(host: Host, onRunning: () => void): Promise<void> {
    this.#check();
    // Nothing may stand between the check and this: from here on the machine is not discarded unless it fails to start.
    this.#starting = ofHost(() => host.start());
    await this.#starting;
    onRunning();
    const running = { machine: this.#announcement.machine, peer: this.#channel.connection.peer, host };
    this.#options.onRunning(running, this.#client !== undefined);
    await this.#sent(this.#channel.send("running", {})).catch(() => {});
  }

  #arrival(host: Host, digest: string, faults: FaultReport | undefined): Arrival {
    return {
      machine: this.#announcement.machine,
      peer: this.#channel.connection.peer,
      host,
      totalTimeMs: performance.now() - this.#startMs,
      faults,
      pages: this.#pages,
      receivedBytes: this.#receivedBytes,
      digest,
    };
  }

  /**
   * Throws the machine away, unless it was committed; resolves with what became of it when it has gone, or runs. It is `unknown` where it was
   * started, that failed, and so did throwing it away.
   */
  async discard(reason: MigrationError): Promise<SessionOutcome> {
    const wasStarted = this.#starting !== undefined;
    if (wasStarted && (await hasSucceeded(this.#starting))) return "running";
    this.#reason ??= reason;
    this.#discarding ??= this.#discardHost();
    const hasGone = await hasSucceeded(this.#discarding);
    return hasGone || !wasStarted ? "discarded" : "unknown";
  }

  /** Discards the machine while {@link run} waits for the source, which is told. */
  async interrupt(reason: MigrationError): Promise<SessionOutcome> {
    const outcome = await this.discard(reason);
    if (outcome === "running") return outcome;
    const farewell = outcome === "discarded" ? this.#channel.sayGoodbye(reason) : Promise.resolve();
    farewell.then(() => this.#channel.connection.abort(reason));
    return outcome;
  }

  /** The rest of a machine's memory will not come: {@link run} ends. */
  lose(reason: MigrationError): void {
    this.#channel.connection.abort(reason);
  }

  async #discardHost(): Promise<void> {
    await hasSucceeded(this.#working);
    try {
      await this.#host?.discard();
    } catch (cause) {
      const message = `${this.#reason?.message} And the machine could not be thrown away: ${(cause as Error).message}`;
      this.#reason = new MigrationError("host-failed", message, { cause });
      throw this.#reason;
    }
  }

  async #letIn(): Promise<Host> {
    const { machine, stateMaxBytes } = this.#announcement;
    const { memoryLimitBytes, stateLimitBytes } = this.#options;
    const memoryBytes = memoryBytesOf(machine);
    if (memoryBytes > memoryLimitBytes || stateMaxBytes > stateLimitBytes) {
      throw new MigrationError(
        "memory-limit",
        `The machine has ${memoryBytes} bytes of memory and up to ${stateMaxBytes} of state; ` +
          `here at most ${memoryLimitBytes} and ${stateLimitBytes} are allowed.`,
      );
    }
    const request = { machine, peer: this.#channel.connection.peer };
    const answer = await this.#options.authorise(request);
    this.#check();
    if (answer !== true) throw new MigrationError("refused", answer);
    return await this.#work(async () => {
      this.#host = await this.#options.host(request);
      return this.#host;
    });
  }

  async #prepare(host: Host, layout: MemoryLayout): Promise<MemoryVerifier> {
    const { machine, fingerprintSeed, compression, stateMaxBytes } = this.#announcement;
    const alive = setInterval(() => {
      this.#channel.sendBytes(FrameType.alive, new Uint8Array(0)).catch(() => {});
    }, ALIVE_EVERY_MS);
    try {
      await this.#work(() => host.prepare(machine));
    } finally {
      clearInterval(alive);
    }
    const verifier = await MemoryVerifier.create(host, layout, fingerprintSeed);
    verifier.catchUp();
    await loadDigest();
    const { pageBytes, pageCount, memoryPages } = layout;
    this.#state = new Uint8Array(Math.ceil(stateMaxBytes / pageBytes) * pageBytes);
    const store = {
      readPages: (firstPage: number, into: Uint8Array): void => {
        layout.split(firstPage, into.length / pageBytes, (page, count, isState) => {
          const part = into.subarray((page - firstPage) * pageBytes, (page - firstPage + count) * pageBytes);
          const at = (page - memoryPages) * pageBytes;
          if (isState) part.set(this.#state.subarray(at, at + part.length));
          else host.readPages(page, part);
        });
      },
      writePages: (firstPage: number, from: Uint8Array): void => {
        layout.split(firstPage, from.length / pageBytes, (page, count, isState) => {
          const part = from.subarray((page - firstPage) * pageBytes, (page - firstPage + count) * pageBytes);
          if (isState) {
            this.#state.set(part, (page - memoryPages) * pageBytes);
          } else {
            // Before: what the machine may have seen is not written again.
            this.#client?.written(page, count);
            host.writePages(page, part);
            verifier.written(page, count);
          }
        });
      },
    };
    // What may come is loaded when it comes: most links are too fast for it to come at all.
    const expected = compression === "auto" ? "lz4" : compression;
    this.#decoder = await createPageDecoder(store, { pageBytes, pageCount, compression: expected });
    this.#check();
    const hasBase = host.hasBase === true;
    await this.#sent(this.#channel.send("accept", { hasBase, isLazy: host.lazy !== undefined }));
    if (hasBase) {
      for (let at = 0; at < verifier.fingerprints.length; at += BASE_MAX_BYTES) {
        const part = verifier.fingerprints.subarray(at, at + BASE_MAX_BYTES);
        await this.#sent(this.#channel.sendBytes(FrameType.base, part));
      }
    }
    return verifier;
  }

  /** Takes pages in until the machine is to be given away; returns the frame that says so. */
  async #receivePages(verifier: MemoryVerifier): Promise<Frame> {
    const { batch, roundEnd, verify, switchOver, probe } = FrameType;
    for (;;) {
      const frame = await this.#expect(batch, roundEnd, verify, switchOver, probe);
      this.#check();
      if (frame.type === verify || frame.type === switchOver) return frame;
      if (frame.type === batch) {
        await this.#takeBatch(frame.body);
        verifier.catchUp();
      } else if (frame.type === roundEnd) {
        await this.#sent(this.#channel.send("roundDone", decodeMessage("roundEnd", frame.body)));
      } else {
        await this.#sent(this.#channel.send("probed", {}));
      }
    }
  }

  async #takeBatch(body: Uint8Array): Promise<void> {
    const decoder = this.#decoder as PageDecoder;
    await decoder.prepareFor(body);
    this.#check();
    this.#pages += decoder.decode(body);
    this.#receivedBytes += body.length;
    await this.#sent(this.#channel.sendBytes(FrameType.received, encodeConfirmation(this.#receivedBytes)));
  }

  async #verify(
    host: Host,
    layout: MemoryLayout,
    verifier: MemoryVerifier,
    { digest, stateBytes }: Messages["verify"],
  ): Promise<string> {
    const state = this.#stateOf(stateBytes);
    verifier.catchUp();
    if ((await digestOf(verifier.fingerprints, sha256(state))) !== digest) {
      throw differs(`${layout.memoryPages} pages, state`);
    }
    this.#check();
    layout.split(0, layout.memoryPages, (first, count) => host.lazy?.arrived(first, count));
    await this.#work(() => host.loadState(state));
    return digest;
  }

  #stateOf(stateBytes: number): Uint8Array {
    if (stateBytes <= this.#state.length) return this.#state.slice(0, stateBytes);
    throw new MigrationError(
      "protocol",
      `The source says that the state has ${stateBytes} bytes; ${this.#state.length} were announced.`,
    );
  }

  #expect(...types: FrameType[]): ReturnType<typeof expectFrame> {
    return expectFrame(this.#channel, this.#options.timeoutMs, ...types);
  }

  /** Waits until more may be sent, but not for ever for a source that does not read. */
  #sent(sending: Promise<void>): Promise<void> {
    return withTimeout(sending, this.#options.timeoutMs, "The source did not take what was sent to it");
  }

  /** Has the host do something before the machine runs; throws where the machine was discarded meanwhile. */
  async #work<T>(task: () => Promise<T>): Promise<T> {
    const working = ofHost(task);
    this.#working = working;
    const result = await working;
    this.#check();
    return result;
  }

  #check(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }
}

/** Rejects where the machine ends: nothing brings it back. */
async function endOf({ ended }: LazyMemory): Promise<never> {
  await (ended ?? new Promise(() => {}));
  throw new MigrationError("host-failed", "It has ended here before all of its memory had come.");
}

function differs(what: string): MigrationError {
  return new MigrationError("content-differs", `The machine did not arrive as it was sent (${what}).`);
}

async function ofHost<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (cause) {
    if (cause instanceof MigrationError) throw cause;
    throw new MigrationError("host-failed", (cause as Error).message, { cause });
  }
}

function hasSucceeded(promise: Promise<unknown> | undefined): Promise<boolean> {
  return Promise.resolve(promise).then(
    () => true,
    () => false,
  );
}
