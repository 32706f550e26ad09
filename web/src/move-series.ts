import type { Progress } from "pageferry";

/** Points nearer to each other than this are one. */
const LEAST_STEP_MS = 50;
/** Long moves keep every other point, again and again, to stay below this. */
const MAX_POINTS = 1200;
/** How fast the first round goes is measured over so many moments. */
const SPEED_MOMENTS = 12;
/** A link is measured by at least so much. */
const MEASURABLE_BYTES = 1e6;
/** A round tells what it will come to once so much of it is done. */
const LEAST_SHARE = 0.05;
/** The classes whose bytes are drawn, from the bottom of the stack. */
export const STACKED: readonly (keyof Progress["pagesByClass"])[] = Object.freeze([
  "novel",
  "delta",
  "dup",
  "fill",
  "zero",
]);

/** One moment of a move, as the charts draw it. */
export interface Moment {
  readonly seconds: number;
  readonly pagesScanned: number;
  /** Pages still to go, as far as can be told. */
  readonly remaining: number | null;
  readonly dirtyBytesPerSecond: number | null;
  readonly linkBytesPerSecond: number | null;
  readonly secondsLeft: number | null;
  readonly transferredBytes: number;
  /** Bytes of memory that have travelled, of the classes of {@link STACKED} up to each. */
  readonly stackedBytes: readonly number[];
}

/** What a move's charts are drawn from: a moment for each piece of progress, not too many. */
export class MoveSeries {
  readonly #pageBytes: number;
  #moments: Moment[] = [];
  #stepMs = LEAST_STEP_MS;
  #round = 0;
  /** Pages that were sent before this round. */
  #sentBefore = 0;
  #sent = 0;
  /** And bytes. */
  #bytesBefore = 0;
  #bytes = 0;

  constructor(pageBytes: number) {
    this.#pageBytes = pageBytes;
  }

  get moments(): readonly Moment[] {
    return this.#moments;
  }

  /** The move is so far. */
  add(progress: Progress): void {
    const remaining = this.#remaining(progress);
    const last = this.#moments.at(-1);
    const isNear = last !== undefined && progress.elapsedMs - last.seconds * 1000 < this.#stepMs;
    if (isNear && progress.phase !== "completed") return;
    let sum = 0;
    const stackedBytes = STACKED.map((name) => {
      sum += progress.pagesByClass[name] * this.#pageBytes;
      return sum;
    });
    this.#moments.push({
      seconds: progress.elapsedMs / 1000,
      pagesScanned: progress.pagesScanned,
      remaining,
      dirtyBytesPerSecond: orNull(progress.dirtyPagesPerSecond, this.#pageBytes),
      linkBytesPerSecond: this.#linkBytesPerSecond(progress),
      secondsLeft: this.#secondsLeft(progress),
      transferredBytes: progress.transferredBytes,
      stackedBytes,
    });
    if (this.#moments.length > MAX_POINTS) {
      this.#moments = this.#moments.filter((_, index) => index % 2 === 0);
      this.#stepMs *= 2;
    }
  }

  /** A short round is too little to measure a link by, since buffers take it at once: what was measured before stands. */
  #linkBytesPerSecond({ round, transferredBytes, linkBytesPerSecond }: Progress): number | null {
    if (round > 0 && transferredBytes - this.#bytesBefore < MEASURABLE_BYTES) {
      return this.#moments.at(-1)?.linkBytesPerSecond ?? null;
    }
    return linkBytesPerSecond === 0 ? null : linkBytesPerSecond;
  }

  /** Until the first round is over, it goes on at the speed of its last part; the engine's estimate never grows, and tells of later rounds. */
  #secondsLeft({ phase, round, elapsedMs, pagesScanned, pagesTotal, estimatedTimeLeftMs }: Progress): number | null {
    if (phase === "completed") return 0;
    if (round > 0) return orNull(estimatedTimeLeftMs, 0.001);
    const start = this.#moments.at(-SPEED_MOMENTS) ?? this.#moments[0];
    if (start === undefined || start.pagesScanned >= pagesScanned) return null;
    const secondsPerPage = (elapsedMs / 1000 - start.seconds) / (pagesScanned - start.pagesScanned);
    return secondsPerPage * (pagesTotal - pagesScanned);
  }

  /** The first round has all pages before it; what a later one has is told by what it has found so far. */
  #remaining({ phase, round, pagesScanned, pagesTotal, pagesSent, transferredBytes }: Progress): number | null {
    if (round !== this.#round) {
      this.#sentBefore = this.#sent;
      this.#bytesBefore = this.#bytes;
    }
    this.#bytes = transferredBytes;
    this.#round = round;
    this.#sent = pagesSent;
    if (phase === "completed" || phase === "committing") return 0;
    if (round === 0) return pagesTotal - pagesScanned;
    const share = pagesScanned / pagesTotal;
    return share < LEAST_SHARE ? null : Math.round(((pagesSent - this.#sentBefore) * (1 - share)) / share);
  }
}

function orNull(value: number | undefined, factor: number): number | null {
  return value === undefined ? null : value * factor;
}
