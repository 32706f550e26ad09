import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { Command } from "commander";
import { labUnavailable } from "../../test/lab/require.js";
import { aimsOf, postcopyAimsOf } from "./aims.js";
import { combinations, postcopyCombinations } from "./combination.js";
import { type Measurement, measure } from "./measure.js";
import { measurePostcopy, type PostcopyMeasurement } from "./measure-postcopy.js";
import type { Method, PostcopyMethod } from "./move.js";
import { engine, relay } from "./pageferry-methods.js";
import { lazyEngine } from "./pageferry-postcopy.js";
import { qemuPostcopy } from "./postcopy.js";
import { qemuPrecopy } from "./precopy.js";
import { runSeries, type Series } from "./runs.js";
import { printAims, printHead, printMeasurement, printPostcopyHead, printPostcopyMeasurement } from "./table.js";

const RUNS_WITH_AIMS = 3;
/** How much of a link's rate QEMU may use where it shall not fill the queue before it. */
const PACING = 0.95;
const PRECOPY_METHODS = [qemuPrecopy("QEMU pre-copy", []), qemuPrecopy("QEMU xbzrle", ["xbzrle"]), engine, relay];
const POSTCOPY_METHODS = [qemuPostcopy("QEMU post-copy"), lazyEngine("postcopy"), lazyEngine("hybrid")];
const QEMU_PACED = qemuPostcopy("QEMU post-copy, paced", PACING);
const PRECOPY: Series<Method, Measurement> = {
  titleEnd: "",
  combinations: combinations(),
  methodsAt: () => PRECOPY_METHODS,
  measure,
  printHead,
  print: printMeasurement,
  aimsOf,
};
const POSTCOPY: Series<PostcopyMethod, PostcopyMeasurement> = {
  titleEnd: ", postcopy",
  combinations: postcopyCombinations(),
  methodsAt: ({ link }) => [...POSTCOPY_METHODS, ...(link.bytesPerSecond === undefined ? [] : [QEMU_PACED])],
  measure: measurePostcopy,
  printHead: printPostcopyHead,
  print: printPostcopyMeasurement,
  aimsOf: postcopyAimsOf,
};

const options = new Command("bench:qemu")
  .description("moves QEMU machines of 512 MiB, by QEMU itself and by pageferry, over links of several rates")
  .option("--json <file>", "also write every measurement as JSON")
  .option("--only <text>", 'only combinations whose workload and link, or these and ", postcopy", contain this', "")
  .option("--quick", "once, and only what there are figures to reach for")
  .parse()
  .opts<{ json?: string; only: string; quick?: true }>();

const reason = await labUnavailable(true);
if (reason !== undefined) throw new Error(`The lab cannot run here: ${reason}`);
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores, Node ${process.versions.node}\n`);
const aimed = { hasAims: true, only: options.only, runs: options.quick ? 1 : RUNS_WITH_AIMS };
const [precopy, postcopy] = [await runSeries(PRECOPY, aimed), await runSeries(POSTCOPY, aimed)];
const aims = [...precopy.aims, ...postcopy.aims];
if (aims.length > 0) printAims(aims);
const measurements = [...precopy.measurements];
const postcopyMeasurements = [...postcopy.measurements];
if (!options.quick) {
  const once = { hasAims: false, only: options.only, runs: 1 };
  measurements.push(...(await runSeries(PRECOPY, once)).measurements);
  postcopyMeasurements.push(...(await runSeries(POSTCOPY, once)).measurements);
}
if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify({ measurements, postcopyMeasurements, aims }, null, 2)}\n`);
}
