import type { SingleBar } from "cli-progress";
import type { Progress } from "../migration/progress.js";
import { formatBytes, formatMs } from "./units.js";

/** How far something is. */
export interface ProgressUpdate {
  readonly done: number;
  readonly total: number;
  /** What is being done just now. */
  readonly text: string;
  readonly transferredBytes?: number;
  readonly estimatedTimeLeftMs?: number | undefined;
}

/** A migration's progress, as a bar shows it. */
export function migrationUpdate(progress: Progress): ProgressUpdate {
  const { phase, round, pagesScanned, pagesTotal, transferredBytes, estimatedTimeLeftMs } = progress;
  return {
    done: pagesScanned,
    total: pagesTotal,
    text: `${phase}, round ${round}`,
    transferredBytes,
    estimatedTimeLeftMs,
  };
}

/** Shows progress to a person. */
export interface ProgressBar {
  update(progress: ProgressUpdate): void;
  end(): void;
}

const REDRAWS_PER_SECOND = 20;

/** A bar on a terminal; where the output goes elsewhere, a line whenever the text changes. */
export async function createProgressBar(label: string): Promise<ProgressBar> {
  if (!process.stdout.isTTY) return new ProgressLines(label);
  // Only here: loading it takes as long as many a command.
  const { SingleBar } = await import("cli-progress");
  const format = `${label} {bar} {percentage} % | {text} | {details}`;
  return new TerminalBar(new SingleBar({ format, fps: REDRAWS_PER_SECOND, hideCursor: true, stream: process.stdout }));
}

class TerminalBar implements ProgressBar {
  readonly #bar: SingleBar;

  constructor(bar: SingleBar) {
    this.#bar = bar;
    this.#bar.start(1, 0, { text: "", details: "" });
  }

  update(progress: ProgressUpdate): void {
    this.#bar.setTotal(progress.total);
    this.#bar.update(progress.done, { text: progress.text, details: detailsOf(progress) });
  }

  end(): void {
    this.#bar.stop();
  }
}

class ProgressLines implements ProgressBar {
  readonly #label: string;
  #last: ProgressUpdate | undefined;

  constructor(label: string) {
    this.#label = label;
  }

  update(progress: ProgressUpdate): void {
    if (this.#last !== undefined && this.#last.text !== progress.text) this.#print(this.#last);
    this.#last = progress;
  }

  end(): void {
    if (this.#last !== undefined) this.#print(this.#last);
  }

  #print(progress: ProgressUpdate): void {
    console.log([`${this.#label}: ${progress.text}`, detailsOf(progress)].filter((part) => part !== "").join(", "));
  }
}

function detailsOf({ transferredBytes, estimatedTimeLeftMs }: ProgressUpdate): string {
  const parts: string[] = [];
  if (transferredBytes !== undefined) parts.push(`${formatBytes(transferredBytes)} sent`);
  if (estimatedTimeLeftMs !== undefined) parts.push(`${formatMs(estimatedTimeLeftMs)} left`);
  return parts.join(", ");
}
