import type { Host, Machine } from "../guest/guest.js";
import { createPageDecoder } from "../page/create.js";
import type { PageDecoder } from "../page/decoder.js";
import type { Peer } from "../transport/connection.js";
import { encodeConfirmation } from "../wire/confirmation.js";
import { BASE_MAX_BYTES, decodeMessage, FrameType, type Messages } from "../wire/messages.js";
import type { SessionOutcome } from "./ask.js";
import { type Channel, expectFrame, withTimeout } from "./channel.js";
import { MigrationError } from "./errors.js";
import { digestOf, loadDigest, sha256 } from "./fingerprints.js";
import { MemoryLayout, memoryBytesOf } from "./layout.js";
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
}

/** A machine that has arrived and runs. */
export interface Arrival {
  readonly machine: Machine;
  readonly peer: Peer | undefined;
  readonly host: Host;
  /** From the announcement until the machine ran. */
  readonly totalTimeMs: number;
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

  /** Takes the machine in, to the end; `onRunning` is called as soon as it runs, before the source hears of it. */
  async run(onRunning: () => void): Promise<Arrival> {
    const host = await this.#letIn();
    const layout = new MemoryLayout(this.#announcement.machine, this.#announcement.stateMaxBytes);
    const verifier = await this.#prepare(host, layout);
    const digest = await this.#receivePages(host, layout, verifier);
    await this.#sent(this.#channel.send("ready", {}));
    await this.#expect(FrameType.commit);
    this.#check();
    // Nothing may stand between the check and this: from here on the machine is not discarded unless it fails to start.
    this.#starting = ofHost(() => host.start());
    await this.#starting;
    onRunning();
    await this.#sent(this.#channel.send("running", {})).catch(() => {});
    return {
      machine: this.#announcement.machine,
      peer: this.#channel.connection.peer,
      host,
      totalTimeMs: performance.now() - this.#startMs,
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
    await this.#sent(this.#channel.send("accept", { hasBase }));
    if (hasBase) {
      for (let at = 0; at < verifier.fingerprints.length; at += BASE_MAX_BYTES) {
        const part = verifier.fingerprints.subarray(at, at + BASE_MAX_BYTES);
        await this.#sent(this.#channel.sendBytes(FrameType.base, part));
      }
    }
    return verifier;
  }

  async #receivePages(host: Host, layout: MemoryLayout, verifier: MemoryVerifier): Promise<string> {
    for (;;) {
      const frame = await this.#expect(FrameType.batch, FrameType.roundEnd, FrameType.verify);
      this.#check();
      if (frame.type === FrameType.batch) {
        const decoder = this.#decoder as PageDecoder;
        await decoder.prepareFor(frame.body);
        this.#check();
        this.#pages += decoder.decode(frame.body);
        this.#receivedBytes += frame.body.length;
        const confirmation = encodeConfirmation(this.#receivedBytes);
        await this.#sent(this.#channel.sendBytes(FrameType.received, confirmation));
        verifier.catchUp();
      } else if (frame.type === FrameType.roundEnd) {
        await this.#sent(this.#channel.send("roundDone", decodeMessage("roundEnd", frame.body)));
      } else {
        return await this.#verify(host, layout, verifier, decodeMessage("verify", frame.body));
      }
    }
  }

  async #verify(
    host: Host,
    layout: MemoryLayout,
    verifier: MemoryVerifier,
    { digest, stateBytes }: Messages["verify"],
  ): Promise<string> {
    if (stateBytes > this.#state.length) {
      throw new MigrationError(
        "protocol",
        `The source says that the state has ${stateBytes} bytes; ${this.#state.length} were announced.`,
      );
    }
    const state = this.#state.slice(0, stateBytes);
    verifier.catchUp();
    if ((await digestOf(verifier.fingerprints, sha256(state))) !== digest) {
      throw new MigrationError(
        "content-differs",
        `The machine did not arrive as it was sent (${layout.memoryPages} pages, state).`,
      );
    }
    this.#check();
    await this.#work(() => host.loadState(state));
    return digest;
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
