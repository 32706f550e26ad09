import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { Command } from "commander";
import { labUnavailable } from "../../test/lab/require.js";
import { type Aim, aimsOf } from "./aims.js";
import { type Combination, combinations, linkName } from "./combination.js";
import { type Measurement, measure } from "./measure.js";
import type { Method } from "./move.js";
import { engine, relay } from "./pageferry-methods.js";
import { qemuPrecopy } from "./precopy.js";

const RUNS_WITH_AIMS = 3;
const METHODS: readonly Method[] = [
  qemuPrecopy("QEMU pre-copy", []),
  qemuPrecopy("QEMU xbzrle", ["xbzrle"]),
  engine,
  relay,
];

const options = new Command("bench:qemu")
  .description("moves QEMU machines of 512 MiB, by QEMU itself and by pageferry, over links of several rates")
  .option("--json <file>", "also write every measurement as JSON")
  .option("--only <text>", "only combinations whose workload and link contain this", "")
  .option("--quick", "once, and only what there are figures to reach for")
  .parse()
  .opts<{ json?: string; only: string; quick?: true }>();

const reason = await labUnavailable(true);
if (reason !== undefined) throw new Error(`The lab cannot run here: ${reason}`);
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores, Node ${process.versions.node}\n`);
const [withAims, others] = [true, false].map((hasAims) =>
  combinations().filter(
    (combination) =>
      combination.hasAims === hasAims && (hasAims || !options.quick) && title(combination).includes(options.only),
  ),
) as [Combination[], Combination[]];
const all: Measurement[] = [];
const aims: Aim[] = [];
const runsWithAims = options.quick ? 1 : RUNS_WITH_AIMS;
printHead();
for (const combination of withAims) aims.push(...aimsOf(await measureAll(combination, runsWithAims)));
printAims();
if (others.length > 0) printHead();
for (const combination of others) await measureAll(combination, 1);
if (options.json !== undefined)
  writeFileSync(options.json, `${JSON.stringify({ measurements: all, aims }, null, 2)}\n`);

/** Measures all methods and prints the medians, which it gives. */
async function measureAll(combination: Combination, runs: number): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  // In turn, so that a machine that changes its speed changes it for all of them.
  for (let run = 0; run < runs; run++) {
    for (const method of METHODS) {
      const measurement = await attempt(() => measure(combination, method), `${title(combination)}, ${method.name}`);
      if (measurement !== undefined) measurements.push(measurement);
    }
  }
  all.push(...measurements);
  const medians = METHODS.flatMap(({ name }) => median(measurements.filter(({ method }) => method === name)) ?? []);
  for (const measurement of medians) print(measurement, runs);
  return medians;
}

function title({ workload, link }: Combination): string {
  return `${workload.name} ${linkName(link)}`;
}

function printHead(): void {
  const names = ["total s", "down ms", "MB on the link", "rounds", "equal", "ops/s before", "during"];
  console.log(`\n| workload | link | method | ${names.join(" | ")} |`);
  console.log("|---|---|---|---:|---:|---:|---:|---|---:|---:|");
}

function printAims(): void {
  console.log("\n| figure | measured | aim |\n|---|---:|---|");
  for (const { what, measured, most, unit } of aims) {
    const mark = measured <= most ? "" : " **missed**";
    console.log(`| ${what} | ${Number(measured.toPrecision(3))}${unit} | ≤ ${most}${unit}${mark} |`);
  }
}

async function attempt(work: () => Promise<Measurement>, what: string): Promise<Measurement | undefined> {
  try {
    return await work();
  } catch (error) {
    console.error(`${what}: ${(error as Error).message}`);
    process.exitCode = 1;
    return undefined;
  }
}

/** The run with the median total time. */
function median(measurements: readonly Measurement[]): Measurement | undefined {
  return [...measurements].sort((left, right) => left.totalMs - right.totalMs)[measurements.length >> 1];
}

function print(measurement: Measurement, runs: number): void {
  const { workload, link, method, hasConverged, totalMs, downtimeMs, linkBytes, rounds, isEqual } = measurement;
  const { operationsPerSecondBefore: before, operationsPerSecondDuring: during } = measurement;
  const cells = [
    workload,
    link,
    runs > 1 ? `${method}, median of ${runs}` : method,
    hasConverged ? (totalMs / 1000).toFixed(2) : `never (${totalMs / 1000})`,
    downtimeMs?.toFixed(0) ?? "–",
    (linkBytes / 1e6).toFixed(1),
    rounds,
    isEqual === undefined ? "–" : isEqual ? "yes" : "**no**",
    before.toFixed(0),
    during?.toFixed(0) ?? "–",
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
