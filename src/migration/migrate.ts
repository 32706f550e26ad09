import type { Guest } from "../guest/guest.js";
import type { Connection } from "../transport/connection.js";
import { TransportError } from "../transport/errors.js";
import { WireError } from "../wire/errors.js";
import { hex } from "../wire/hex.js";
import { askOutcome, type SessionOutcome } from "./ask.js";
import { Convergence, type Decision } from "./convergence.js";
import { MigrationError, type MigrationErrorCode } from "./errors.js";
import { memoryBytesOf } from "./layout.js";
import { type MigrateOptions, migrateOptions } from "./options.js";
import type { Forecast } from "./prediction.js";
import { type Progress, ProgressStream, TimeLeft } from "./progress.js";
import type { MigrationOutcome, MigrationReport, PostcopyReport, RoundReport } from "./report.js";
import type { MeasuredRound } from "./round-measure.js";
import { type RoundProgress, Source } from "./source.js";
import { type SourceState, SourceStates } from "./state.js";
import { STRATEGIES, type Steps } from "./strategy.js";

/** A time left is told once so much of the first round is done. */
const LEAST_SHARE = 0.05;
/** What later rounds and the switch-over take of the first round's time, as long as nothing better is known. */
const LATER_ROUNDS = 0.15;

/** Codes that only the destination's own word leads to: it has discarded the machine then. */
const SAID_BY_PEER: ReadonlySet<MigrationErrorCode> = new Set([
  "peer-failed",
  "refused",
  "memory-limit",
  "content-differs",
]);

/** Errors that are outcomes of their own. */
const OUTCOMES: Readonly<Partial<Record<MigrationErrorCode, MigrationOutcome>>> = {
  "in-doubt": "in-doubt",
  "machine-lost": "lost",
  cancelled: "cancelled",
};

/**
 * A migration at its source. Iterate over it for its progress, or listen to its `progress` events (each a {@link ProgressEvent}); `report` resolves
 * when the machine runs at the destination.
 */
export class Migration extends EventTarget implements AsyncIterable<Progress> {
  /**
   * What it cost. Rejects with a {@link MigrationFailure}, which has the report too; the machine runs on here then, as if nothing had
   * happened, unless the code is `in-doubt`, since it may run there, or `machine-lost`, since it ran there: then it stands still here, and its memory
   * is what it was when it left.
   */
  readonly report: Promise<MigrationReport>;
  readonly #guest: Guest;
  readonly #options: MigrateOptions;
  readonly #session = hex(crypto.getRandomValues(new Uint8Array(32)));
  readonly #states = new SourceStates();
  readonly #stream = new ProgressStream();
  readonly #timeLeft = new TimeLeft();
  readonly #convergence: Convergence;
  readonly #rounds: RoundReport[] = [];
  readonly #startMs = performance.now();
  #source: Source | undefined;
  #phase: Progress["phase"] = "setup";
  #firstRoundMs: number | undefined;
  #setupTimeMs = 0;
  #pausedMs: number | undefined;
  #downtimeMs = 0;
  /** Whether the memory follows the machine. */
  #isServing = false;
  #state: Uint8Array | undefined;
  #digest: string | undefined;
  #forecast: Forecast | undefined;
  #postcopy: PostcopyReport | undefined;

  /** Use {@link migrate}. */
  constructor(guest: Guest, connection: Connection, options: Partial<MigrateOptions>) {
    super();
    this.#guest = guest;
    this.#options = migrateOptions(options);
    this.#convergence = new Convergence(this.#options, guest.throttle !== undefined);
    this.report = this.#run(connection);
    // Those who only follow the progress are not obliged to handle the report.
    this.report.catch(() => {});
  }

  /** Where the source is, as docs/protocol.md draws it. */
  get state(): SourceState {
    return this.#states.state;
  }

  [Symbol.asyncIterator](): AsyncIterator<Progress> {
    return this.#stream[Symbol.asyncIterator]();
  }

  async #run(connection: Connection): Promise<MigrationReport> {
    const { signal } = this.#options;
    const cancel = (): void => this.#cancel(connection);
    signal?.addEventListener("abort", cancel);
    try {
      if (signal?.aborted) cancel();
      const source = await Source.open(this.#guest, connection, this.#session, this.#options, (at) => this.#tell(at));
      this.#source = source;
      checkLazy(source, this.#options);
      this.#setupTimeMs = performance.now() - this.#startMs;
      this.#states.enter("copying");
      this.#phase = "copying";
      await STRATEGIES[this.#options.strategy](this.#stepsOf(source));
    } catch (error) {
      await this.#onFailure(toMigrationError(error), connection);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
    this.#phase = "completed";
    this.#tell({ round: this.#rounds.length - 1, pagesScanned: this.#source?.memoryPages ?? 0 });
    this.#stream.end();
    const error = await this.#release();
    const report = this.#reportOf("completed", error);
    await this.#source?.close();
    return report;
  }

  /** The machine runs elsewhere: that its copy here could not be freed does not undo it. */
  async #release(): Promise<MigrationError | undefined> {
    try {
      await this.#guest.release();
      return undefined;
    } catch (cause) {
      const why = (cause as Error).message;
      const message = `The machine runs at the destination, but what is left of it here could not be freed: ${why}`;
      return new MigrationError("guest-failed", message, { cause });
    }
  }

  #cancel(connection: Connection): void {
    const reason = new MigrationError("cancelled", "The migration was cancelled.");
    if (this.#source === undefined) connection.abort(reason);
    else this.#source.cancel(reason);
  }

  #stepsOf(source: Source): Steps {
    const convergence = this.#convergence;
    return {
      isLazy: source.isLazy,
      get isShrinking() {
        return convergence.isShrinking;
      },
      rehearse: () => source.rehearse(),
      predict: async () => {
        const forecast = await ofGuest(source.forecast(this.#options));
        this.#forecast = forecast;
        if (!forecast.willConverge && !source.isLazy && this.#options.onStall === "fail") {
          const advice =
            "The destination cannot let it run before its memory is there: slow it down, or allow more downtime.";
          throw new MigrationError("not-converging", `The machine would not get there: ${forecast.reason}. ${advice}`);
        }
        return forecast.willConverge;
      },
      copyRound: async () => {
        const round = await source.copyRound();
        const elapsedMs = performance.now() - this.#startMs - this.#setupTimeMs;
        this.#firstRoundMs ??= round.durationMs;
        const expected = { ...round, scanMs: round.scanMs / source.pausedSpeedup };
        const decision = this.#convergence.decide(expected, source.link.bytesPerSecond, source.roundTripMs, elapsedMs);
        this.#addRound(round, `${decision.action}: ${decision.reason}`);
        return decision;
      },
      throttle: async () => {
        await ofGuest(this.#guest.throttle?.(this.#convergence.throttle));
      },
      copyRest: async () => {
        await this.#pause();
        const { round, digest } = await source.copyRest(this.#saveState());
        this.#digest = digest;
        this.#addRound(round, "hand over: the destination holds the same memory and state");
      },
      commit: async () => {
        source.check();
        this.#guest.handOver?.();
        this.#states.enter("committing");
        this.#phase = "committing";
        await source.commit();
        this.#downtimeMs = performance.now() - (this.#pausedMs as number);
        this.#states.enter(this.#isServing ? "serving" : "handed-over");
      },
      copyState: async () => {
        await this.#pause();
        this.#isServing = true;
        await source.copyState(this.#saveState());
      },
      serve: async () => {
        this.#phase = "serving";
        const startMs = performance.now();
        const { round, digest, served } = await source.serve(this.#options.lostAfterMs);
        this.#digest = digest;
        this.#postcopy = { ...served, servingTimeMs: performance.now() - startMs };
        this.#addRound(round, "the memory followed the machine: the destination holds all of it");
        this.#states.enter("handed-over");
      },
      giveUp: (decision: Pick<Decision, "reason">) => {
        throw new MigrationError("not-converging", `The migration does not come to an end: ${decision.reason}.`);
      },
    };
  }

  async #pause(): Promise<void> {
    this.#phase = "paused";
    this.#pausedMs = performance.now();
    this.#states.enter("paused");
    await ofGuest(this.#guest.pause());
  }

  /** Goes on while memory is scanned; where that fails, nobody waits for it any more. */
  #saveState(): Promise<Uint8Array> {
    const save = async (): Promise<Uint8Array> => {
      const state = await ofGuest(this.#guest.saveState());
      const most = this.#options.stateMaxBytes;
      if (state.length > most) {
        throw new MigrationError("guest-failed", `The state has ${state.length} bytes; at most ${most} are allowed.`);
      }
      this.#state = state;
      return state;
    };
    const saving = save();
    saving.catch(() => {});
    return saving;
  }

  /** Leaves the machine where it may run. Returns only where it turns out to run at the destination. */
  async #onFailure(error: MigrationError, connection: Connection): Promise<void> {
    let reason = error;
    if (this.state === "committing" || this.state === "serving") {
      const outcome = await this.#outcome(error, connection);
      if (outcome === "running") {
        this.#digest ??= this.#source?.sentDigest;
        return this.#states.enter("handed-over");
      }
      if (outcome === "following" || outcome === "lost") {
        if (this.state === "committing") this.#states.enter("serving");
        this.#states.enter("lost");
        reason = lost(error);
      } else if (outcome === "unknown") {
        this.#states.enter("in-doubt");
        reason = inDoubt(error);
      }
    }
    if (this.state === "lost") {
      await this.#source?.giveUp(reason);
    } else if (this.state !== "in-doubt") {
      this.#states.enter("resumed");
      // The machine first: it has stood still for long enough.
      reason = await this.#resume(reason);
      await this.#source?.giveUp(reason);
    }
    connection.abort(reason);
    this.#stream.end();
    const state = reason.code === "machine-lost" ? this.#state : undefined;
    throw new MigrationFailure(reason, this.#reportOf(OUTCOMES[reason.code] ?? "failed", reason), state);
  }

  /** After a commit without an answer: a destination that gave up itself has said so. */
  async #outcome(error: MigrationError, connection: Connection): Promise<SessionOutcome> {
    const isServing = this.state === "serving";
    if (SAID_BY_PEER.has(error.code)) return isServing ? "lost" : "discarded";
    // Before it was told that this was all, it cannot have all.
    if (isServing && this.#source?.sentDigest === undefined) return "lost";
    const { reconnect, inDoubtTimeoutMs, timeoutMs } = this.#options;
    if (reconnect === undefined) return "unknown";
    if (isServing) connection.abort(error);
    const outcome = await askOutcome(this.#session, reconnect, inDoubtTimeoutMs, timeoutMs);
    return isServing && outcome === "discarded" ? "lost" : outcome;
  }

  async #resume(reason: MigrationError): Promise<MigrationError> {
    try {
      if (this.#pausedMs !== undefined) {
        await this.#guest.resume();
        this.#downtimeMs = performance.now() - this.#pausedMs;
      }
      if (this.#convergence.throttle > 0) await this.#guest.throttle?.(0);
      return reason;
    } catch (cause) {
      return new MigrationError("guest-failed", `${reason.message} And the machine could not be resumed.`, { cause });
    }
  }

  #addRound(round: MeasuredRound, decision: string): void {
    const { dirtyPagesPerSecond, expectedDowntimeMs } = this.#convergence;
    this.#rounds.push({ ...round, dirtyPagesPerSecond, expectedDowntimeMs, decision });
  }

  #tell({ round, pagesScanned }: RoundProgress): void {
    const source = this.#source;
    if (source === undefined) return;
    const { zero, fill, dup, delta, novel, residualBytes } = source.encoded;
    const progress: Progress = {
      phase: this.#phase,
      round,
      elapsedMs: performance.now() - this.#startMs,
      pagesScanned,
      pagesTotal: source.memoryPages,
      pagesSent: zero + fill + dup + delta + novel,
      pagesByClass: { zero, fill, dup, delta, novel },
      residualBytes,
      transferredBytes: source.bytesSent,
      confirmedBytes: source.link.confirmedBytes,
      linkBytesPerSecond: source.linkBytesPerSecond,
      dirtyPagesPerSecond: this.#convergence.dirtyPagesPerSecond,
      estimatedTimeLeftMs: this.#timeLeft.update(this.#estimateMs(source, pagesScanned)),
    };
    this.#stream.push(progress);
    this.dispatchEvent(new ProgressEvent(progress));
  }

  /** The first round goes on as it began, and what follows takes a share of it; then each further round takes what the last one took. */
  #estimateMs(source: Source, pagesScanned: number): number | undefined {
    if (this.#phase === "completed") return 0;
    const elapsedMs = performance.now() - this.#startMs - this.#setupTimeMs;
    if (this.#firstRoundMs === undefined) {
      const share = pagesScanned / source.memoryPages;
      return share < LEAST_SHARE ? undefined : (elapsedMs / share) * (1 - share + LATER_ROUNDS);
    }
    const last = this.#rounds.at(-1) as RoundReport;
    return Math.max(last.durationMs, this.#convergence.expectedDowntimeMs ?? 0);
  }

  #reportOf(outcome: MigrationOutcome, error: MigrationError | undefined): MigrationReport {
    const { machine } = this.#guest;
    return {
      outcome,
      error: error === undefined ? undefined : { code: error.code, message: error.message },
      machine: machine.name,
      strategy: this.#options.strategy,
      forecast: this.#forecast,
      postcopy: this.#postcopy,
      setupTimeMs: this.#setupTimeMs,
      totalTimeMs: performance.now() - this.#startMs,
      downtimeMs: this.#downtimeMs,
      downtimeLimitMs: this.#options.downtimeLimitMs,
      ramBytes: memoryBytesOf(machine),
      pageBytes: machine.pageBytes,
      stateBytes: this.#state?.length ?? 0,
      transferredBytes: this.#source?.bytesSent ?? 0,
      dirtySyncCount: this.#rounds.length,
      rounds: this.#rounds,
      compression: {
        asked: this.#options.compression,
        batches: this.#source?.batches ?? { none: 0, lz4: 0, zstd: 0 },
        explanation: this.#source?.compressionExplanation,
      },
      verification: { digest: this.#digest, verified: this.#digest !== undefined },
    };
  }
}

/** The event `progress` of a {@link Migration}. */
export class ProgressEvent extends Event {
  readonly progress: Progress;

  constructor(progress: Progress) {
    super("progress");
    this.progress = progress;
  }
}

/** A migration that did not complete. */
export class MigrationFailure extends MigrationError {
  readonly report: MigrationReport;
  /** Of a machine that was lost: its CPU and devices as it left. Its memory is still the guest's. */
  readonly state: Uint8Array | undefined;

  constructor(error: MigrationError, report: MigrationReport, state?: Uint8Array) {
    super(error.code, error.message, { cause: error.cause ?? error });
    this.name = "MigrationFailure";
    this.report = report;
    this.state = state;
  }
}

/** Throws `no-lazy-memory` where the strategy cannot be had. */
function checkLazy({ isLazy }: Source, { strategy }: MigrateOptions): void {
  if (isLazy || (strategy !== "postcopy" && strategy !== "hybrid")) return;
  const message = `The destination cannot let the machine run before its memory is there, as ${strategy} wants it: choose precopy.`;
  throw new MigrationError("no-lazy-memory", message);
}

function inDoubt(error: MigrationError): MigrationError {
  const message =
    "The machine was handed over, but the destination does not say whether it runs there. It stands still here; " +
    "let it go on only if it does not run there.";
  return new MigrationError("in-doubt", message, { cause: error });
}

function lost(error: MigrationError): MigrationError {
  const message =
    "The machine is lost: it ran at the destination, and the rest of its memory cannot come there any more. " +
    `It stands still here as it was when it left. ${error.message}`;
  return new MigrationError("machine-lost", message, { cause: error });
}

/**
 * Moves a running machine to the destination at the other end of the connection. The connection is the migration's from now on. Throws
 * `argument` at once; everything else the report tells.
 */
export function migrate(guest: Guest, connection: Connection, options: Partial<MigrateOptions> = {}): Migration {
  return new Migration(guest, connection, options);
}

async function ofGuest<T>(promise: Promise<T>): Promise<T>;
async function ofGuest<T>(promise: Promise<T> | undefined): Promise<T | undefined>;
async function ofGuest<T>(promise: Promise<T> | undefined): Promise<T | undefined> {
  try {
    return await promise;
  } catch (cause) {
    throw new MigrationError("guest-failed", `The machine did not do as asked: ${(cause as Error).message}`, { cause });
  }
}

/** Errors of lower floors as the migration's own. */
export function toMigrationError(error: unknown): MigrationError {
  if (error instanceof MigrationError) return error;
  const code: MigrationErrorCode =
    error instanceof TransportError ? "connection-lost" : error instanceof WireError ? "protocol" : "guest-failed";
  return new MigrationError(code, (error as Error).message, { cause: error });
}
