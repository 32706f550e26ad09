import type { Host, Machine } from "../guest/guest.js";
import { createPageDecoder } from "../page/create.js";
import type { PageDecoder } from "../page/decoder.js";
import type { Peer } from "../transport/connection.js";
import { BASE_MAX_BYTES, decodeMessage, FrameType, type Messages } from "../wire/messages.js";
import { type Channel, expectFrame } from "./channel.js";
import { MigrationError } from "./errors.js";
import { digestOf } from "./fingerprints.js";
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
    await this.#channel.send("ready", {});
    await this.#expect(FrameType.commit);
    this.#check();
    // Nothing may stand between the check and this: from here on the machine is not discarded any more.
    this.#starting = ofHost(host.start());
    await this.#starting;
    onRunning();
    await this.#channel.send("running", {}).catch(() => {});
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

  /** Throws the machine away, unless it was committed; resolves when it has gone, or runs. */
  async discard(reason: MigrationError): Promise<void> {
    if (this.#starting !== undefined) {
      const failed = await this.#starting.then(
        () => false,
        () => true,
      );
      if (!failed) return;
    }
    this.#reason ??= reason;
    this.#discarding ??= this.#host?.discard() ?? Promise.resolve();
    await this.#discarding;
  }

  /** Discards the machine while {@link run} waits for the source. */
  async interrupt(reason: MigrationError): Promise<void> {
    await this.discard(reason);
    if (this.#reason !== undefined) this.#channel.connection.abort(this.#reason);
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
    if (answer !== true) throw new MigrationError("refused", answer);
    const host = await ofHost(Promise.resolve(this.#options.host(request)));
    this.#host = host;
    return host;
  }

  async #prepare(host: Host, layout: MemoryLayout): Promise<MemoryVerifier> {
    const { machine, fingerprintSeed, compression, stateMaxBytes } = this.#announcement;
    const alive = setInterval(() => {
      this.#channel.sendBytes(FrameType.alive, new Uint8Array(0)).catch(() => {});
    }, ALIVE_EVERY_MS);
    try {
      await ofHost(host.prepare(machine));
    } finally {
      clearInterval(alive);
    }
    this.#check();
    const verifier = await MemoryVerifier.create(host, layout, fingerprintSeed);
    verifier.catchUp();
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
    this.#decoder = await createPageDecoder(store, { pageBytes, pageCount, compression });
    this.#check();
    const hasBase = host.hasBase === true;
    await this.#channel.send("accept", { hasBase });
    if (hasBase) {
      for (let at = 0; at < verifier.fingerprints.length; at += BASE_MAX_BYTES) {
        await this.#channel.sendBytes(FrameType.base, verifier.fingerprints.subarray(at, at + BASE_MAX_BYTES));
      }
    }
    return verifier;
  }

  async #receivePages(host: Host, layout: MemoryLayout, verifier: MemoryVerifier): Promise<string> {
    for (;;) {
      const frame = await this.#expect(FrameType.batch, FrameType.roundEnd, FrameType.verify);
      this.#check();
      if (frame.type === FrameType.batch) {
        this.#pages += (this.#decoder as PageDecoder).decode(frame.body);
        this.#receivedBytes += frame.body.length;
        const received = new Uint8Array(8);
        new DataView(received.buffer).setBigUint64(0, BigInt(this.#receivedBytes), true);
        await this.#channel.sendBytes(FrameType.received, received);
        verifier.catchUp();
      } else if (frame.type === FrameType.roundEnd) {
        await this.#channel.send("roundDone", decodeMessage("roundEnd", frame.body));
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
    if ((await digestOf(verifier.fingerprints, state)) !== digest) {
      throw new MigrationError(
        "content-differs",
        `The machine did not arrive as it was sent (${layout.memoryPages} pages, state).`,
      );
    }
    this.#check();
    await ofHost(host.loadState(state));
    return digest;
  }

  #expect(...types: FrameType[]): ReturnType<typeof expectFrame> {
    return expectFrame(this.#channel, this.#options.timeoutMs, ...types);
  }

  #check(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }
}

async function ofHost<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (cause) {
    if (cause instanceof MigrationError) throw cause;
    throw new MigrationError("host-failed", (cause as Error).message, { cause });
  }
}
