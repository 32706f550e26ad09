import { stripVTControlCharacters } from "node:util";
import Chartscii from "chartscii";
import type { MigrationReport, PostcopyReport, RoundReport } from "../migration/report.js";
import { plainTable } from "./table.js";
import { formatBytes, formatMs } from "./units.js";

const BAR_WIDTH = 48;

type Row = [name: string, value: string];

/** A report for people: what it cost, each round, and a picture of the rounds. */
export function reportText(report: MigrationReport): string {
  return [summary(report), roundsTable(report.rounds), roundsPicture(report)].join("\n\n");
}

function summary(report: MigrationReport): string {
  const { compression, verification, forecast, postcopy } = report;
  const rows: Row[] = [
    ["outcome", report.outcome],
    ["total time", `${formatMs(report.totalTimeMs)}, of it ${formatMs(report.setupTimeMs)} setup`],
    ["downtime", `${formatMs(report.downtimeMs)} (limit ${formatMs(report.downtimeLimitMs)})`],
    [
      "memory",
      `${formatBytes(report.ramBytes)} in pages of ${report.pageBytes} bytes; state ${formatBytes(report.stateBytes)}`,
    ],
    ["sent", formatBytes(report.transferredBytes)],
    ["compression", compression.explanation ?? compression.asked],
    ...(forecast === undefined ? [] : [["forecast", forecast.reason] satisfies Row]),
    ...(postcopy === undefined ? [] : [["memory after it", followedText(postcopy)] satisfies Row]),
    ["verified", verification.verified ? `SHA-256 ${verification.digest} at both ends` : "no"],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `${name.padEnd(width)}${value}`).join("\n");
}

function followedText({ servingTimeMs, requests, requested, pushed, clean }: PostcopyReport): string {
  const pages = `${requested} pages in ${requests} requests, ${pushed} pushed, ${clean} there already`;
  return `${formatMs(servingTimeMs)} until the source could go: ${pages}`;
}

function roundsTable(rounds: readonly RoundReport[]): string {
  const table = plainTable([
    "round",
    "time",
    "scan",
    "dirty",
    "zero",
    "fill",
    "dup",
    "delta",
    "novel",
    "raw",
    "sent",
    "link",
  ]);
  for (const round of rounds) {
    const { zero, fill, dup, delta, novel } = round.pagesByClass;
    table.push([
      round.round,
      formatMs(round.durationMs),
      formatMs(round.scanMs),
      round.pagesDirty,
      ...[zero, fill, dup, delta, novel],
      formatBytes(round.rawBytes),
      formatBytes(round.transferredBytes),
      `${formatBytes(round.linkBytesPerSecond)}/s`,
    ]);
  }
  return table.toString();
}

function roundsPicture({ rounds, postcopy }: MigrationReport): string {
  const last = postcopy === undefined ? ", paused" : ", followed";
  const bars = rounds.map((round, index) => ({
    label: `round ${round.round}${index === rounds.length - 1 ? last : ""}`,
    value: round.pagesDirty,
  }));
  const chart = new Chartscii(bars, {
    title: "Dirty pages found by each round",
    width: BAR_WIDTH,
    barSize: 1,
    valueLabels: true,
    colorLabels: false,
  });
  return stripVTControlCharacters(chart.create()).trimEnd();
}
