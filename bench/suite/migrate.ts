import { spawnSync } from "node:child_process";
import {
  connectionPair,
  Destination,
  limitBandwidth,
  MemoryGuest,
  MemoryHost,
  type MigrationReport,
  migrate,
} from "pageferry";
import { measurePeaks, PEAK_INPUT } from "../peak-memory.js";

/** A migration that was measured as a whole. */
export interface MigrationResult {
  readonly name: string;
  readonly input: string;
  /** Each figure beside what is aimed at. */
  readonly figures: readonly {
    readonly what: string;
    readonly value: string;
    readonly aim: string;
    readonly reached: boolean;
  }[];
}

const COMMAND = new URL("../../../dist/cli/main.js", import.meta.url).pathname;
const MIB = 1 << 20;
const DEMO_RUNS = 5;

/** Whole migrations: times, bytes and memory, against what they should not exceed. */
export const MIGRATIONS: Readonly<Record<string, () => Promise<MigrationResult>>> = {
  "migrate/demo": measureDemo,
  "migrate/converge": measureConvergence,
  "migrate/memory": measureMemory,
};

async function measureDemo(): Promise<MigrationResult> {
  const reports: MigrationReport[] = [];
  for (let run = 0; run < DEMO_RUNS; run++) {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [COMMAND, "demo", "--compression", "lz4", "--json"],
      {
        encoding: "utf8",
      },
    );
    if (status !== 0) throw new Error(`The demo failed: ${stderr}`);
    reports.push(JSON.parse(stdout.trimEnd().split("\n").at(-1) as string).report);
  }
  const [report] = reports as [MigrationReport];
  const downtimeMs = median(reports.map((each) => each.downtimeMs));
  const totalTimeMs = median(reports.map((each) => each.totalTimeMs));
  const share = median(reports.map((each) => each.transferredBytes / (each.rounds[0]?.rawBytes ?? 1)));
  return {
    name: "migrate/demo",
    input: `${report.machine}, ${report.ramBytes / MIB} MiB, lz4, TLS on loopback; median of ${DEMO_RUNS} runs`,
    figures: [
      figure("downtime", downtimeMs, 60, "ms"),
      figure("total time", totalTimeMs, 1500, "ms"),
      figure("sent ÷ non-zero memory", share, 0.5, ""),
    ],
  };
}

async function measureConvergence(): Promise<MigrationResult> {
  const memoryBytes = 1024 * MIB;
  const guest = new MemoryGuest({
    memoryBytes,
    filledBytes: 64 * MIB,
    workingSetPages: 65_536,
    pagesPerSecond: 4000,
    bytesPerPage: 64,
    pattern: "random",
  });
  const host = new MemoryHost();
  const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: memoryBytes });
  const [here, there] = connectionPair();
  const arriving = destination.receive(there);
  const report = await migrate(guest, limitBandwidth(here, { bytesPerSecond: 12.5e6 })).report;
  await arriving;
  host.content?.stop();
  const wrong = host.content?.wrongPages().length ?? Number.NaN;
  return {
    name: "migrate/converge",
    input: "1 GiB, 64 MiB of it filled; 4000 pages/s changed by 64 bytes; link of 12.5 MB/s",
    figures: [
      figure("downtime", report.downtimeMs, report.downtimeLimitMs, "ms"),
      figure("total time", report.totalTimeMs / 1000, Number.POSITIVE_INFINITY, "s"),
      figure("sent", report.transferredBytes / MIB, Number.POSITIVE_INFINITY, "MiB"),
      figure("wrong pages", wrong, 0, ""),
    ],
  };
}

async function measureMemory(): Promise<MigrationResult> {
  const { source, destination } = await measurePeaks();
  return {
    name: "migrate/memory",
    input: PEAK_INPUT,
    figures: [
      figure("source's peak beyond guest and cache", source, 64, "MiB"),
      figure("destination's peak beyond guest", destination, 64, "MiB"),
    ],
  };
}

function figure(what: string, value: number, most: number, unit: string): MigrationResult["figures"][number] {
  const text = (number: number): string => `${Number(number.toPrecision(3))}${unit === "" ? "" : ` ${unit}`}`;
  return { what, value: text(value), aim: Number.isFinite(most) ? `≤ ${text(most)}` : "", reached: value <= most };
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[values.length >> 1] as number;
}
