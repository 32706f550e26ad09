import type { MigrationReport } from "pageferry";
import { formatBytes, formatCount, formatMs, formatThings } from "./format.js";

/** Blinks take some 100 to 400 ms. */
const BLINK_MS = 150;

/** One thing that a report says: what it is about, the figure, and what it means. */
export interface Finding {
  readonly title: string;
  /** What the field calls it. */
  readonly term: string;
  readonly figure: string;
  readonly sentence: string;
  /** What the sentence leads up to, one by one. */
  readonly parts?: readonly string[];
}

/** What stands there before a machine has moved. */
export const NOTHING_YET: readonly Finding[] = Object.freeze([
  {
    title: "It stood still for",
    term: "downtime",
    figure: "–",
    sentence: "How long whoever uses it had to wait.",
  },
  { title: "The whole move took", term: "total time", figure: "–", sentence: "The machine runs nearly all that time." },
  {
    title: "Over the link went",
    term: "transferred",
    figure: "–",
    sentence: "Much less than the machine's memory, and why.",
  },
  {
    title: "Nothing was lost",
    term: "verified",
    figure: "–",
    sentence: "Both sides compare a digest before it goes on.",
  },
]);

type Counts = MigrationReport["rounds"][number]["pagesByClass"];

/** A report in words for somebody who has never heard of pre-copy. */
export function findingsOf(report: MigrationReport): readonly Finding[] {
  if (report.outcome !== "completed") return [outcomeOf(report), sentOf(report)];
  return [downtimeOf(report), totalOf(report), sentOf(report), verifiedOf(report)];
}

/** The one sentence for those who read no more. */
export function headlineOf(report: MigrationReport): string {
  if (report.outcome === "completed") {
    return `It stood still for ${formatMs(report.downtimeMs)}; the whole move took ${formatMs(report.totalTimeMs)}.`;
  }
  return report.outcome === "in-doubt"
    ? "It is not known whether the machine runs over there."
    : "The move did not come about; the machine goes on where it was.";
}

/** Pages by the way they travelled, over all rounds. */
export function totalsOf(report: MigrationReport): Counts {
  const total = { zero: 0, fill: 0, dup: 0, delta: 0, novel: 0, unchanged: 0 };
  for (const { pagesByClass } of report.rounds) {
    for (const name of Object.keys(total) as (keyof Counts)[]) total[name] += pagesByClass[name];
  }
  return total;
}

function downtimeOf({ downtimeMs, downtimeLimitMs, strategy }: MigrationReport): Finding {
  const compared =
    downtimeMs < BLINK_MS
      ? "That is less than a blink of an eye"
      : downtimeMs < 1000
        ? "That is about as long as a blink of an eye or two"
        : "Whoever used it would have noticed";
  const limit =
    strategy === "stop-and-copy"
      ? "; it was to stand still all the while (stop-and-copy)."
      : downtimeMs <= downtimeLimitMs
        ? `; ${formatMs(downtimeLimitMs)} were allowed.`
        : `; it was to be at most ${formatMs(downtimeLimitMs)}, but the rest was larger than expected.`;
  return {
    title: "It stood still for",
    term: "downtime",
    figure: formatMs(downtimeMs),
    sentence: compared + limit,
  };
}

function totalOf({ totalTimeMs, downtimeMs, rounds, strategy }: MigrationReport): Finding {
  const share = 100 * (1 - downtimeMs / totalTimeMs);
  const sentence =
    strategy === "stop-and-copy"
      ? "All memory was copied in one go, while the machine stood still."
      : `It ran on for ${share < 99.5 ? Math.round(share) : "more than 99"} % of that time. Its memory was gone through ` +
        `${formatThings(rounds.length, "time")} (rounds, pre-copy): after the first time only for what had changed meanwhile.`;
  return { title: "The whole move took", term: "total time", figure: formatMs(totalTimeMs), sentence };
}

function sentOf(report: MigrationReport): Finding {
  const { ramBytes, transferredBytes, pageBytes, stateBytes, rounds, outcome } = report;
  const finding = { title: "Over the link went", term: "transferred", figure: formatBytes(transferredBytes) };
  const memory = `The machine has ${formatBytes(ramBytes)} of memory (RAM)`;
  if (outcome === "failed" || outcome === "cancelled") {
    return { ...finding, sentence: `${memory}. The other side has thrown away what it had received of it.` };
  }
  const { zero, fill, dup, delta, novel } = totalsOf(report);
  const pageCount = Math.round(ramBytes / pageBytes);
  const skipped = pageCount - (rounds[0]?.pagesDirty ?? 0);
  const parts = [
    skipped > 0 && `${formatCount(skipped)} of its ${formatCount(pageCount)} pages were empty and did not travel`,
    novel > 0 && `${formatCount(novel)} were sent whole (novel)${compressedBy(report)}`,
    dup > 0 && `${formatCount(dup)} were copies of others (dup)`,
    delta > 0 && `of ${formatCount(delta)} only the changes were sent (delta)`,
    fill > 0 && `${formatCount(fill)} had one value over and over (fill)`,
    zero > 0 && `${formatCount(zero)} were all zeros (zero)`,
    stateBytes > 0 && `${formatBytes(stateBytes)} of that is the state of its processor and devices`,
  ].filter((part) => part !== false);
  return { ...finding, sentence: `${memory}, but little of it travels as it is:`, parts };
}

function compressedBy({ compression: { batches } }: MigrationReport): string {
  const used = (["lz4", "zstd"] as const).filter((codec) => batches[codec] > 0);
  const names = used.map((codec) => (codec === "lz4" ? "LZ4" : codec));
  return used.length === 0 ? "" : `, packed tighter by ${names.join(" and ")} (compression)`;
}

function verifiedOf({ verification }: MigrationReport): Finding {
  return verification.verified
    ? {
        title: "Nothing was lost",
        term: "verified",
        figure: "Checked",
        sentence:
          "Before it went on, both sides compared a digest of all memory and of the processor's state (SHA-256): they were the same.",
      }
    : {
        title: "Not compared",
        term: "not verified",
        figure: "Unchecked",
        sentence: "The sides did not come to compare their memory.",
      };
}

function outcomeOf({ outcome, error }: MigrationReport): Finding {
  const where =
    outcome === "in-doubt"
      ? "It stands still here, since it may run over there."
      : "The machine goes on where it was, as if nothing had happened.";
  return {
    title: "The move",
    term: outcome,
    figure: outcome === "cancelled" ? "Cancelled" : outcome === "in-doubt" ? "In doubt" : "Not done",
    sentence: outcome === "cancelled" ? where : `${error?.message ?? ""} ${where}`.trim(),
  };
}
