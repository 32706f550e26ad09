import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { Command } from "commander";
import { createKernels, type Kernels } from "pageferry";
import { type Effort, measure, type Result, type Row } from "./measure.js";
import { dedupRows } from "./suite/dedup.js";
import { deltaRows } from "./suite/delta.js";
import { lz4Rows } from "./suite/lz4.js";
import { MIGRATIONS, type MigrationResult } from "./suite/migrate.js";
import { pipelineRows } from "./suite/pipeline.js";
import { scanRows } from "./suite/scan.js";

const SUITES: readonly [string, (kernels: Kernels) => AsyncGenerator<Row>][] = [
  ["scan/", scanRows],
  ["delta/", deltaRows],
  ["lz4/", lz4Rows],
  ["dedup/", dedupRows],
  ["pipeline/", pipelineRows],
];

const THOROUGH: Effort = { rounds: 7, secondsPerTarget: 0.4 };
const QUICK: Effort = { rounds: 3, secondsPerTarget: 0.1 };

const options = new Command("bench")
  .description(
    "Times each kernel and the pipeline beside their peers, in turn, in one run, and measures whole migrations.",
  )
  .option("--json <file>", "write the results as JSON")
  .option("--only <name>", "only rows whose name starts so, such as scan/ or lz4/compress-4k", "")
  .option("--quick", "fewer and shorter rounds")
  .parse()
  .opts<{ json?: string; only: string; quick?: true }>();

const suites = SUITES.filter(([prefix]) => prefix.startsWith(options.only) || options.only.startsWith(prefix));
const migrations = Object.entries(MIGRATIONS).filter(([name]) => name.startsWith(options.only));
const results: (Result | MigrationResult)[] = [];
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores, Node ${process.versions.node}\n`);
if (suites.length > 0) console.log("| part | input | GB/s | peer | GB/s | ratio |\n|---|---|---:|---|---:|---:|");
for (const [, rows] of suites) {
  for await (const row of rows(await createKernels())) {
    if (!row.name.startsWith(options.only)) continue;
    const result = measure(row, options.quick ? QUICK : THOROUGH);
    results.push(result);
    print(result);
  }
}
if (migrations.length > 0) console.log("\n| migration | input | figure | measured | aim |\n|---|---|---|---:|---|");
for (const [, run] of migrations) {
  const result = await run();
  results.push(result);
  printMigration(result);
}
if (results.length === 0) {
  console.error(`No row's name starts with ${options.only}.`);
  process.exitCode = 1;
}
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);

function print({ name, input, bytesPerSecond, peers, ratios, outputBytes }: Result): void {
  const gigabytes = (speed: number): string => (speed / 1e9).toFixed(2);
  const size = outputBytes === undefined ? "" : ` → ${outputBytes} bytes`;
  let [nameCell, inputCell, speedCell] = [name, input + size, gigabytes(bytesPerSecond)];
  for (const [peer, speed] of Object.entries(peers)) {
    console.log(
      `| ${nameCell} | ${inputCell} | ${speedCell} | ${peer} | ${gigabytes(speed)} | ${ratios[peer]?.toFixed(2)} × |`,
    );
    [nameCell, inputCell, speedCell] = ["", "", ""];
  }
}

function printMigration({ name, input, figures }: MigrationResult): void {
  let [nameCell, inputCell] = [name, input];
  for (const { what, value, aim, reached } of figures) {
    console.log(`| ${nameCell} | ${inputCell} | ${what} | ${value} | ${aim}${reached ? "" : " **missed**"} |`);
    [nameCell, inputCell] = ["", ""];
  }
}
