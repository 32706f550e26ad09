import type { Command } from "commander";
import { DEFAULT_MOST_READS } from "../guest/file/chain/budget.js";
import { type ChainSummary, summarizeChain } from "../guest/file/chain/summary.js";
import { type ImageSummary, type PageSummary, summarizeImage } from "../guest/file/summary.js";
import { untilCancelled } from "./cancel.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import { chainText } from "./inspect-chain.js";
import { createProgressBar } from "./progress-bar.js";
import { readsOption } from "./reads-option.js";
import { plainTable } from "./table.js";
import { formatBytes } from "./units.js";

interface InspectCommandOptions {
  readonly against?: string;
  readonly mostReads?: number;
  readonly json?: true;
}

/** Adds `pageferry inspect`. */
export function addInspectCommand(program: Command): void {
  program
    .command("inspect")
    .description(
      "count the zero, filled and duplicate pages of a memory image, and the bytes that it would take to send; or tell what patches of it hold",
    )
    .argument("<image>", "a memory image: the guest's RAM as it is")
    .argument("[patch...]", "what `pageferry diff` made of it, in the order in which it was made")
    .option("--against <older>", "also tell what changed since this image, and what sending only that would take")
    .addOption(readsOption(`with patches: how many reads a page may take (default: ${DEFAULT_MOST_READS})`))
    .option("--json", "print one JSON object, on the last line")
    .addHelpText(
      "after",
      "\nExamples:\n  pageferry inspect guest.raw\n  pageferry inspect tuesday.raw --against monday.raw" +
        "\n  pageferry inspect monday.raw tuesday.patch wednesday.patch",
    )
    .action(async (image: string, patches: readonly string[], options: InspectCommandOptions) => {
      const { against, mostReads, json } = options;
      if (patches.length > 0) {
        if (against !== undefined)
          throw new CommandError(ExitCode.usage, "--against goes with one image, not with patches.");
        const summary = await inspectChain(image, patches, mostReads);
        console.log(json ? JSON.stringify(summary) : chainText(image, summary));
        return;
      }
      const bar = await createProgressBar("Inspect");
      const summary = await untilCancelled((signal) =>
        summarizeImage(image, {
          againstPath: against,
          signal,
          onProgress: (done, total) => bar.update({ done, total, text: "reading and compressing" }),
        }),
      ).finally(() => bar.end());
      console.log(json ? JSON.stringify(summary) : textOf(summary));
    });
}

async function inspectChain(
  base: string,
  patches: readonly string[],
  mostReads: number | undefined,
): Promise<ChainSummary> {
  const bar = await createProgressBar("Inspect");
  return untilCancelled((signal) =>
    summarizeChain(base, patches, {
      mostReads,
      signal,
      onProgress: (done, total) => bar.update({ done, total, text: "reading the patches" }),
    }),
  ).finally(() => bar.end());
}

function textOf(summary: ImageSummary): string {
  const { byteLength, changed } = summary;
  const columns: { name: string; pages: PageSummary; method: string }[] = [
    { name: "all pages", pages: summary, method: "with dedup" },
  ];
  if (changed !== undefined) columns.push({ name: "changed pages", pages: changed, method: "with dedup and deltas" });
  return [
    `${formatBytes(byteLength)} in pages of 4096 bytes`,
    ...columns.map(({ name, pages, method }) => `${pagesTable(name, pages)}\n${bytesTable(pages, method)}`),
  ].join("\n\n");
}

function pagesTable(name: string, { pages, zeroPages, fillPages, duplicatePages }: PageSummary): string {
  const table = plainTable([name, "zero", "filled", "duplicate", "others"]);
  table.push([pages, zeroPages, fillPages, duplicatePages, pages - zeroPages - fillPages - duplicatePages]);
  return table.toString();
}

function bytesTable({ plainBytes, encodedBytes }: PageSummary, method: string): string {
  const table = plainTable(["bytes to send", "none", "lz4", "zstd"]);
  const row = ({ none, lz4, zstd }: PageSummary["plainBytes"]): string[] => [none, lz4, zstd].map(formatBytes);
  table.push(["page by page", ...row(plainBytes)], [method, ...row(encodedBytes)]);
  return table.toString();
}
