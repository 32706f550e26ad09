import type { Aim } from "./aims.js";
import type { Measurement } from "./measure.js";
import type { PostcopyMeasurement } from "./measure-postcopy.js";

/** The head of the table of methods by which the memory is there before the machine runs. */
export function printHead(): void {
  printColumns("total s", "down ms", "MB on the link", "rounds", "equal", "ops/s before", "during");
}

/** The head of the table of methods by which the memory follows the machine. */
export function printPostcopyHead(): void {
  const waits = ["faults", "mean ms", "p99 ms"];
  const rates = ["ops/s before", "during", "first 10 s", "90 % after s"];
  printColumns("source free s", "down ms", "first count ms", ...waits, "MB on the link", "sound", ...rates);
}

/** A line of the first table. */
export function printMeasurement(measurement: Measurement, runs: number): void {
  const { hasConverged, totalMs, downtimeMs, linkBytes, rounds, isEqual } = measurement;
  const { operationsPerSecondBefore: before, operationsPerSecondDuring: during } = measurement;
  printCells(measurement, runs, [
    hasConverged ? seconds(totalMs) : `never (${totalMs / 1000})`,
    whole(downtimeMs),
    megabytes(linkBytes),
    String(rounds),
    isEqual === undefined ? "–" : yesOrNo(isEqual),
    whole(before),
    whole(during),
  ]);
}

/** A line of the second table. */
export function printPostcopyMeasurement(measurement: PostcopyMeasurement, runs: number): void {
  const { totalMs, downtimeMs, firstCountMs, faults, faultMeanMs, faultP99Ms, linkBytes, isSound } = measurement;
  const { operationsPerSecondBefore: before, operationsPerSecondDuring: during } = measurement;
  const { operationsPerSecondAfter: after, recoveryMs } = measurement;
  printCells(measurement, runs, [
    seconds(totalMs),
    whole(downtimeMs),
    whole(firstCountMs),
    String(faults),
    faultMeanMs?.toFixed(1) ?? "–",
    faultP99Ms?.toFixed(1) ?? "–",
    megabytes(linkBytes),
    yesOrNo(isSound),
    whole(before),
    whole(during),
    whole(after),
    recoveryMs === undefined ? "–" : seconds(recoveryMs),
  ]);
}

/** What was to be reached, and what was. */
export function printAims(aims: readonly Aim[]): void {
  console.log("\n| figure | measured | aim |\n|---|---:|---|");
  for (const { what, measured, most, unit } of aims) {
    const mark = measured <= most ? "" : " **missed**";
    const bound = Number(most.toPrecision(3));
    console.log(`| ${what} | ${Number(measured.toPrecision(3))}${unit} | ≤ ${bound}${unit}${mark} |`);
  }
}

function printColumns(...names: readonly string[]): void {
  console.log(`\n| workload | link | method | ${names.join(" | ")} |`);
  console.log(`|---|---|---|${names.map((name) => (["equal", "sound"].includes(name) ? "---|" : "---:|")).join("")}`);
}

function printCells(
  { workload, link, method }: Pick<Measurement, "workload" | "link" | "method">,
  runs: number,
  cells: readonly string[],
): void {
  const how = runs > 1 ? `${method}, median of ${runs}` : method;
  console.log(`| ${[workload, link, how, ...cells].join(" | ")} |`);
}

const seconds = (ms: number): string => (ms / 1000).toFixed(2);
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
const whole = (value: number | undefined): string => value?.toFixed(0) ?? "–";
const yesOrNo = (isTrue: boolean): string => (isTrue ? "yes" : "**no**");
