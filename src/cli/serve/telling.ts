import type { Arrival } from "../../migration/arrival.js";
import type { MigrationReport } from "../../migration/report.js";
import { arrivalSentence, describeArrival } from "../receiving.js";
import { formatBytes, formatMs } from "../units.js";
import type { ServeOptions } from "./options.js";

/** Tells the person, or with `--json` the program, what happens. The token is in nothing but the address that is told first. */
export class Telling {
  readonly #options: ServeOptions;

  constructor(options: ServeOptions) {
    this.#options = options;
  }

  listening(port: number, token: string): void {
    const { listen, origin: origins, image, insecure } = this.#options;
    const base = `ws://${listen.host.includes(":") ? `[${listen.host}]` : listen.host}:${port}`;
    const url = `${base}/#${token}`;
    this.#tell(
      { event: "listening", url, origins },
      `Machines arrive at ${base}/arrivals and leave from ${base}/departures/NAME` +
        `${image.size === 0 ? "" : `; images are at ${base}/images/NAME`}` +
        `${insecure ? ", INSECURE: without encryption" : ""}.\n` +
        `Pages of these origins may connect: ${origins.join(", ")}.\n` +
        `Their address, with the token behind the #: ${url}`,
    );
  }

  /** What is done before it listens. */
  step(line: string): void {
    if (!this.#options.json) console.log(line);
  }

  arrived(arrival: Arrival): void {
    this.#tell({ event: "arrived", ...describeArrival(arrival) }, arrivalSentence(arrival));
  }

  departed(report: MigrationReport): void {
    const { machine, transferredBytes, totalTimeMs, downtimeMs } = report;
    const figures = `${formatBytes(transferredBytes)}, ${formatMs(totalTimeMs)}, down for ${formatMs(downtimeMs)}`;
    this.#tell({ event: "departed", ...report }, `${machine} departed: ${figures}.`);
  }

  fetched(report: MigrationReport): void {
    const { machine, transferredBytes, totalTimeMs } = report;
    const figures = `${formatBytes(transferredBytes)}, ${formatMs(totalTimeMs)}`;
    this.#tell({ event: "fetched", ...report }, `The image ${machine} was fetched: ${figures}.`);
  }

  /** A machine or a connection has failed; the machine is undefined where it is not known. */
  failed(machine: string | undefined, error: Error & { readonly code?: string }): void {
    const { code = "failed", message } = error;
    if (this.#options.json) console.log(JSON.stringify({ event: "failed", machine, code, message }));
    console.error(`pageferry: ${machine === undefined ? "" : `${machine}: `}${message} (${code})`);
  }

  #tell(event: object, lines: string): void {
    console.log(this.#options.json ? JSON.stringify(event) : lines);
  }
}
