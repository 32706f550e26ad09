import type { ChainSummary } from "../guest/file/chain/summary.js";
import { plainTable } from "./table.js";
import { formatBytes } from "./units.js";

/** What a chain of patches holds, for people. */
export function chainText(basePath: string, summary: ChainSummary): string {
  const { byteLength, pageBytes, storedBytes, rawBytes, squashedBytes, mostReads, pagesBeyond } = summary;
  return [
    `${formatBytes(byteLength)} in pages of ${pageBytes} bytes, from ${summary.patches.length} patches`,
    linksTable(basePath, summary),
    `stored: ${formatBytes(storedBytes)}; as images: ${formatBytes(rawBytes)}; squashed: about ${formatBytes(squashedBytes)}`,
    readsTable(summary),
    `${pagesBeyond} pages take more than ${mostReads} reads; a mount reads them beforehand`,
  ].join("\n\n");
}

function linksTable(basePath: string, { baseBytes, patches }: ChainSummary): string {
  const table = plainTable(["", "bytes", "changed pages", "still alive"], 1);
  table.push([basePath, formatBytes(baseBytes), "", ""]);
  for (const { path, patchBytes, changedPages, alivePages } of patches) {
    table.push([path, formatBytes(patchBytes), changedPages, alivePages]);
  }
  return table.toString();
}

function readsTable({ pagesByReads }: ChainSummary): string {
  const table = plainTable(["reads for a page", ...pagesByReads.map((_, reads) => String(reads))]);
  table.push(["pages", ...pagesByReads]);
  return table.toString();
}
