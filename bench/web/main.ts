import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { Command } from "commander";
import { ownScripts } from "./own-scripts.js";
import { BenchPage, type WatchedMove } from "./page.js";

const MOVES = 10;
const WORKLOADS = ["Count", "Rewrite a file"];
const LINKS = ["As fast as it goes", "100 Mbit/s"];
/** The machine of the first row is the one that there are figures to reach for. */
const DOWNTIME_MOST_MS = 100;
const TOTAL_MOST_MS = 1000;
const FRAMES_LEAST = 50;
const SCRIPTS_MOST_BYTES = 150_000;

/** The medians over the moves of one workload over one link. */
interface Row {
  readonly workload: string;
  readonly link: string;
  readonly moves: readonly WatchedMove[];
  readonly downtimeMs: number;
  readonly totalTimeMs: number;
  readonly transferredBytes: number;
  readonly rounds: number;
  readonly framesPerSecond: number;
  readonly mapsPerSecond: number;
  readonly longestFrameMs: number;
}

const options = new Command("bench:web")
  .description("moves a Linux between the two sides of the page, in Chromium")
  .option("--json <file>", "also write every move as JSON")
  .option("--quick", "three moves each instead of ten")
  .parse()
  .opts<{ json?: string; quick?: true }>();

const page = await BenchPage.open();
try {
  console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores, Node ${process.versions.node}\n`);
  const moves = options.quick ? 3 : MOVES;
  console.log(
    `| workload | link | down ms | total s | MB on the link | rounds | frames/s | maps/s | longest frame ms |`,
  );
  console.log("|---|---|---:|---:|---:|---:|---:|---:|---:|");
  await page.startLinux();
  await page.choose("Standstill (downtime)", `at most ${DOWNTIME_MOST_MS} ms`);
  const rows: Row[] = [];
  for (const workload of WORKLOADS) {
    await page.work(workload);
    for (const link of LINKS) {
      await page.choose("Link", link);
      const row = await measure(workload, link, moves);
      rows.push(row);
      print(row);
    }
  }
  const scripts = ownScripts(page.folder);
  printAims(rows, scripts.gzipBytes);
  console.log(
    `\nThe page's own scripts: ${scripts.bytes} bytes, ${scripts.gzipBytes} by gzip, ${scripts.brotliBytes} by brotli.`,
  );
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ rows, scripts }, null, 2)}\n`);
} finally {
  await page.close();
}

async function measure(workload: string, link: string, count: number): Promise<Row> {
  const moves: WatchedMove[] = [];
  for (let move = 0; move < count; move++) moves.push(await page.move());
  const middle = (figure: (move: WatchedMove) => number): number => median(moves.map(figure));
  return {
    workload,
    link,
    moves,
    downtimeMs: middle(({ report }) => report.downtimeMs),
    totalTimeMs: middle(({ report }) => report.totalTimeMs),
    transferredBytes: middle(({ report }) => report.transferredBytes),
    rounds: middle(({ report }) => report.dirtySyncCount),
    framesPerSecond: middle(({ framesPerSecond }) => framesPerSecond),
    mapsPerSecond: middle(({ mapsPerSecond }) => mapsPerSecond),
    longestFrameMs: middle(({ longestFrameMs }) => longestFrameMs),
  };
}

function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

function print(row: Row): void {
  const cells = [
    row.workload,
    row.link,
    row.downtimeMs.toFixed(0),
    (row.totalTimeMs / 1000).toFixed(2),
    (row.transferredBytes / 1e6).toFixed(1),
    row.rounds,
    row.framesPerSecond.toFixed(0),
    row.mapsPerSecond.toFixed(0),
    row.longestFrameMs.toFixed(0),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}

function printAims(rows: readonly Row[], scriptBytes: number): void {
  const [first] = rows as [Row];
  const line = (what: string, measured: string, aim: string, isMet: boolean): void =>
    console.log(`| ${what} | ${measured} | ${aim}${isMet ? "" : " **missed**"} |`);
  console.log("\n| figure | measured | aim |\n|---|---:|---|");
  const titleOf = ({ workload, link }: Row): string => `${workload}, ${link.charAt(0).toLowerCase()}${link.slice(1)}`;
  const title = titleOf(first);
  const { downtimeMs, totalTimeMs } = first;
  line(`${title}: down`, `${downtimeMs.toFixed(0)} ms`, `≤ ${DOWNTIME_MOST_MS} ms`, downtimeMs <= DOWNTIME_MOST_MS);
  line(`${title}: total`, `${totalTimeMs.toFixed(0)} ms`, `≤ ${TOTAL_MOST_MS} ms`, totalTimeMs <= TOTAL_MOST_MS);
  for (const row of rows) {
    const { framesPerSecond: frames } = row;
    line(`${titleOf(row)}: frames/s`, frames.toFixed(0), `≥ ${FRAMES_LEAST}`, frames >= FRAMES_LEAST);
  }
  const kilobytes = (scriptBytes / 1000).toFixed(1);
  line("own scripts, gzip", `${kilobytes} kB`, "≤ 150 kB", scriptBytes <= SCRIPTS_MOST_BYTES);
}
