import type { Codec } from "../../wire/batch.js";
import { PageError } from "../errors.js";

/** A change of codec. */
export interface CodecSwitch {
  readonly from: Codec;
  readonly to: Codec;
  /** How many blocks went before it. */
  readonly block: number;
  readonly explanation: string;
}

/** What a codec takes and gives, smoothed. */
interface Measure {
  /** Encoded bytes for a raw byte. */
  ratio: number;
  secondsPerRawByte: number;
  /** The block at which it was last seen at work. */
  block: number;
}

/** How much of a new figure goes into the smoothed one, if the last came a block before; the older that is, the more. */
const SMOOTHING = 0.3;
/** A switch must promise this much, lest noise make the choice flap. */
const MIN_GAIN = 1.1;
/** A codec unseen for so many blocks is to be tried on a sample. */
const SAMPLE_EVERY_BLOCKS = 16;
const MAX_HISTORY = 32;
/** Blocks that did not fill the link before its old figure is doubted: from the first … to the most after probes that cost much. */
const MIN_PROBE_WAIT_BLOCKS = 3;
const MAX_PROBE_WAIT_BLOCKS = 256;
/** The share of time that probes may cost. */
const PROBE_BUDGET = 0.04;
/** So many blocks that filled the link, one after another: it is measured, and probes may come early again. */
const STEADY_BLOCKS = 4;

/**
 * Chooses the codec that moves raw bytes soonest. Compression runs while the link sends, so a raw byte costs the slower of the two:
 * `max(secondsPerRawByte, ratio / linkRate)`. Knows no clock and no codec: callers report what they measured.
 *
 * Where the codec is the slower one, the link's rate is unknown upwards; after some blocks the old figure is therefore doubled block by block,
 * until another codec is worth trying. If that fills the link, its rate is known again, and the next probe waits the longer the more this one cost.
 */
export class CompressionChoice {
  readonly #codecs: readonly Codec[];
  readonly #measures: Map<Codec, Measure> = new Map([["none", { ratio: 1, secondsPerRawByte: 0, block: 0 }]]);
  readonly #history: CodecSwitch[] = [];
  #current: Codec;
  #block = 0;
  #linkSecondsPerByte: number | undefined;
  /** Whether the link's figure was observed while it was full, and not guessed or only a lower bound. */
  #linkIsMeasured = false;
  #fullBlocks = 0;
  #idleBlocks = 0;
  #probeWaitBlocks = MIN_PROBE_WAIT_BLOCKS;

  /** `codecs`: those that both ends have; "none" is always among them. */
  constructor(codecs: readonly Codec[] = ["none", "lz4", "zstd"]) {
    this.#codecs = [...new Set<Codec>(["none", ...codecs])];
    this.#current = this.#codecs[1] ?? "none";
  }

  /** `rawBytes` became `encodedBytes` in `seconds` of the codec's time, on a block or on a sample of one. Throws `argument`. */
  observe(codec: Codec, rawBytes: number, encodedBytes: number, seconds: number): void {
    checkFigure("rawBytes", rawBytes);
    checkFigure("encodedBytes", encodedBytes);
    checkFigure("seconds", seconds);
    if (codec === this.#current) this.#block++;
    if (rawBytes === 0) return;
    const ratio = encodedBytes / rawBytes;
    const secondsPerRawByte = seconds / rawBytes;
    const before = this.#measures.get(codec);
    const weight = before === undefined ? 1 : 1 - (1 - SMOOTHING) ** Math.max(this.#block - before.block, 1);
    this.#measures.set(codec, {
      ratio: smooth(before?.ratio ?? 0, ratio, weight),
      secondsPerRawByte: smooth(before?.secondsPerRawByte ?? 0, secondsPerRawByte, weight),
      block: this.#block,
    });
  }

  /** What the link took. `saturated`: the sender had to wait, so this is the link's rate; else it is no more than a lower bound. Throws `argument`. */
  observeLink(bytesPerSecond: number, saturated: boolean): void {
    checkFigure("bytesPerSecond", bytesPerSecond);
    if (bytesPerSecond === 0) return;
    if (saturated) this.#linkWasFull(1 / bytesPerSecond);
    else this.#linkWasIdle(1 / bytesPerSecond);
  }

  /** The codec for the next block. */
  choose(): Codec {
    const best = this.#best();
    const now = this.#cost(this.#current);
    if (best !== this.#current && now !== undefined && now >= MIN_GAIN * (this.#cost(best) as number)) {
      const from = this.#current;
      this.#current = best;
      this.#history.push({ from, to: best, block: this.#block, explanation: this.explanation });
      if (this.#history.length > MAX_HISTORY) this.#history.shift();
    }
    return this.#current;
  }

  /** The codec to be tried on a sample of the next block, if any, so that each stays measured: the one unseen for longest. */
  wantsSample(): Codec | undefined {
    let oldest: Codec | undefined;
    let oldestBlock = this.#block - SAMPLE_EVERY_BLOCKS + 1;
    for (const codec of this.#codecs) {
      if (codec === this.#current || !this.#isWorthTrying(codec)) continue;
      const block = this.#measures.get(codec)?.block ?? -Infinity;
      if (block < oldestBlock) {
        oldest = codec;
        oldestBlock = block;
      }
    }
    return oldest;
  }

  /** What the link takes, as far as it is known; 0 as long as nothing is. */
  get linkBytesPerSecond(): number {
    return this.#linkSecondsPerByte === undefined ? 0 : 1 / this.#linkSecondsPerByte;
  }

  /** Whether the link takes at least so many times as long for what the codec makes of a byte as the codec takes to make it. */
  isLinkSlowerThan(codec: Codec, times: number): boolean {
    const measure = this.#measures.get(codec);
    if (measure === undefined || this.#linkSecondsPerByte === undefined || !this.#linkIsMeasured) return false;
    return measure.ratio * this.#linkSecondsPerByte >= times * measure.secondsPerRawByte;
  }

  /** A sentence for people: which codec, and the figures behind it. */
  get explanation(): string {
    const link =
      this.#linkSecondsPerByte === undefined
        ? "the link is not measured yet"
        : `the link takes ${this.#linkIsMeasured ? "" : "perhaps "}${rate(this.#linkSecondsPerByte)}`;
    const codecs = this.#codecs.flatMap((codec) => {
      const measure = this.#measures.get(codec);
      if (measure === undefined) return [`${codec} is not measured yet`];
      const cost = this.#cost(codec);
      const result = cost === undefined ? "" : `, so it moves ${rate(cost)}`;
      if (codec === "none") return [`none sends bytes as they are${result}`];
      return [`${codec} makes ${Math.round(100 * measure.ratio)} % at ${rate(measure.secondsPerRawByte)}${result}`];
    });
    return `${this.#current} is used: ${link}; ${codecs.join("; ")}.`;
  }

  /** The last 32 changes of codec, oldest first. */
  get history(): readonly CodecSwitch[] {
    return [...this.#history];
  }

  #linkWasFull(secondsPerByte: number): void {
    this.#idleBlocks = 0;
    this.#fullBlocks++;
    if (this.#linkIsMeasured) {
      this.#linkSecondsPerByte = smooth(this.#linkSecondsPerByte as number, secondsPerByte, SMOOTHING);
    } else {
      this.#linkSecondsPerByte = secondsPerByte;
      this.#linkIsMeasured = true;
      this.#setProbeWait();
    }
    if (this.#fullBlocks >= STEADY_BLOCKS) this.#probeWaitBlocks = MIN_PROBE_WAIT_BLOCKS;
  }

  #linkWasIdle(secondsPerByte: number): void {
    this.#fullBlocks = 0;
    this.#idleBlocks++;
    if (this.#linkSecondsPerByte === undefined || secondsPerByte < this.#linkSecondsPerByte) {
      this.#linkSecondsPerByte = secondsPerByte;
      this.#linkIsMeasured = false;
    }
    if (this.#idleBlocks > this.#probeWaitBlocks) {
      this.#linkSecondsPerByte /= 2;
      this.#linkIsMeasured = false;
    }
  }

  /** The guess was wrong: the more time this block lost against the best codec, the later the next guess. */
  #setProbeWait(): void {
    const used = this.#cost(this.#current);
    const best = this.#cost(this.#best());
    if (used === undefined || best === undefined || best === 0) return;
    const blocks = Math.ceil((used - best) / best / PROBE_BUDGET);
    this.#probeWaitBlocks = Math.min(Math.max(blocks, 2 * this.#probeWaitBlocks), MAX_PROBE_WAIT_BLOCKS);
  }

  #best(): Codec {
    let best = this.#current;
    for (const codec of this.#codecs) {
      if ((this.#cost(codec) ?? Infinity) < (this.#cost(best) ?? Infinity)) best = codec;
    }
    return best;
  }

  /** Sending bytes as they are needs no trial; a slow codec is of no use while a faster one does not even fill the link. */
  #isWorthTrying(codec: Codec): boolean {
    if (codec !== "zstd") return codec !== "none";
    const fast = this.#measures.get("lz4");
    if (fast === undefined || this.#linkSecondsPerByte === undefined) return !this.#codecs.includes("lz4");
    return fast.ratio * this.#linkSecondsPerByte > fast.secondsPerRawByte;
  }

  /** Seconds for a raw byte; unknown until codec and link are measured. */
  #cost(codec: Codec): number | undefined {
    const measure = this.#measures.get(codec);
    if (measure === undefined || this.#linkSecondsPerByte === undefined) return undefined;
    return Math.max(measure.secondsPerRawByte, measure.ratio * this.#linkSecondsPerByte);
  }
}

function smooth(before: number, now: number, weight: number): number {
  return before + weight * (now - before);
}

function rate(secondsPerByte: number): string {
  return secondsPerByte < 1e-11 ? "over 100 GB/s" : `${Number((1e-6 / secondsPerByte).toPrecision(3))} MB/s`;
}

function checkFigure(name: string, value: number): void {
  if (!Number.isFinite(value) || value < 0) {
    throw new PageError("argument", `${name} must be a finite number of at least 0, not ${value}.`);
  }
}
