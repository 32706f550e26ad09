import type { Aim } from "./aims.js";
import { type Combination, linkName } from "./combination.js";

/** What every measurement has. */
interface Measured {
  readonly method: string;
  readonly totalMs: number;
}

/** Methods that are measured alike, at the same combinations. */
export interface Series<Method extends { readonly name: string }, Result extends Measured> {
  /** Stands behind the combination's name in its title. */
  readonly titleEnd: string;
  readonly combinations: readonly Combination[];
  methodsAt(combination: Combination): readonly Method[];
  measure(combination: Combination, method: Method): Promise<Result>;
  /** Prints the head of the series' table. */
  printHead(): void;
  /** Prints one of so many runs. */
  print(result: Result, runs: number): void;
  aimsOf(medians: readonly Result[]): Aim[];
}

/** What to leave out. */
export interface Selection {
  readonly hasAims: boolean;
  /** A combination's title must contain it. */
  readonly only: string;
  /** How often each method is measured at each combination. */
  readonly runs: number;
}

/** All measurements, and what is to be said of their medians. */
export interface Results<Result> {
  readonly measurements: readonly Result[];
  readonly aims: readonly Aim[];
}

/** Measures a series and prints its table, the medians of the runs; without a word where nothing is selected. */
export async function runSeries<Method extends { readonly name: string }, Result extends Measured>(
  series: Series<Method, Result>,
  { hasAims, only, runs }: Selection,
): Promise<Results<Result>> {
  const all: Result[] = [];
  const aims: Aim[] = [];
  const titleOf = ({ workload, link }: Combination): string => `${workload.name} ${linkName(link)}${series.titleEnd}`;
  const selected = series.combinations.filter(
    (combination) => combination.hasAims === hasAims && titleOf(combination).includes(only),
  );
  if (selected.length > 0) series.printHead();
  for (const combination of selected) {
    const methods = series.methodsAt(combination);
    const measurements: Result[] = [];
    // In turn, so that a machine that changes its speed changes it for all of them.
    for (let run = 0; run < runs; run++) {
      for (const method of methods) {
        const what = `${titleOf(combination)}, ${method.name}`;
        const measurement = await attempt(() => series.measure(combination, method), what);
        if (measurement !== undefined) measurements.push(measurement);
      }
    }
    const medians = methods.flatMap(({ name }) => median(measurements.filter(({ method }) => method === name)) ?? []);
    for (const measurement of medians) series.print(measurement, runs);
    all.push(...measurements);
    aims.push(...series.aimsOf(medians));
  }
  return { measurements: all, aims };
}

async function attempt<Result>(work: () => Promise<Result>, what: string): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    console.error(`${what}: ${(error as Error).message}`);
    process.exitCode = 1;
    return undefined;
  }
}

/** The run with the median total time. */
function median<Result extends Measured>(measurements: readonly Result[]): Result | undefined {
  return [...measurements].sort((left, right) => left.totalMs - right.totalMs)[measurements.length >> 1];
}
