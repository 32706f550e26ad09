import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { Random } from "../support/random.js";

const RUNS = 50;
const SEED = 20261123;
const AT_A_TIME = 4;
/** Kills come up to so long after the beginning, after the machine was paused, or when it begins to run at the destination. */
const MOMENTS = [
  { after: "beginning", withinMs: 250 },
  { after: "pause", withinMs: 60 },
  { after: "start", withinMs: 20 },
] as const;

interface Event {
  readonly atMs: number;
  readonly port?: number;
  readonly hasBegun?: boolean;
  readonly isRunning?: boolean;
  readonly outcome?: string;
  readonly runsAtEnd?: boolean;
  readonly wrongPages?: number;
}

/** A process of the folder kill, and what it says. */
class Process {
  readonly events: Event[] = [];
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #onEvent: () => void = () => {};

  constructor(name: "source" | "destination", ...options: readonly (string | number)[]) {
    const program = new URL(`kill/${name}.js`, import.meta.url).pathname;
    this.#child = spawn(process.execPath, [program, ...options.map(String)], { stdio: ["pipe", "pipe", "inherit"] });
    this.#closed = once(this.#child, "close");
    createInterface({ input: this.#child.stdout as NonNullable<ChildProcess["stdout"]> }).on("line", (line) => {
      this.events.push(JSON.parse(line));
      this.#onEvent();
    });
  }

  /** The first event like this, once it is there; undefined where the process ends without. */
  async event(isMeant: (event: Event) => boolean): Promise<Event | undefined> {
    const found = new Promise<void>((resolve) => {
      this.#onEvent = () => {
        if (this.events.some(isMeant)) resolve();
      };
      this.#onEvent();
    });
    await Promise.race([found, this.#closed]);
    return this.events.find(isMeant);
  }

  /** What it said at its end; undefined where it was killed before. */
  async end(): Promise<Event | undefined> {
    await this.#closed;
    return this.events.find(({ outcome }) => outcome !== undefined);
  }

  /** When the machine ran there: from when to when, without an end where it was not stopped. */
  spans(): [number, number][] {
    const spans: [number, number][] = [];
    for (const { atMs, isRunning } of this.events) {
      if (isRunning === true) spans.push([atMs, Number.POSITIVE_INFINITY]);
      if (isRunning === false) (spans.at(-1) as [number, number])[1] = atMs;
    }
    return spans;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** Kills one of two processes at a random time of a migration; what the other one made of it. */
async function killOne(seed: number): Promise<string> {
  const random = new Random(seed);
  const destination = new Process("destination");
  const port = (await destination.event((event) => event.port !== undefined))?.port as number;
  const source = new Process("source", port, seed);
  try {
    const isSourceKilled = random.below(2) === 0;
    const { after, withinMs } = MOMENTS[random.below(MOMENTS.length)] as (typeof MOMENTS)[number];
    if (after === "beginning") await source.event(({ hasBegun }) => hasBegun === true);
    if (after === "pause") await source.event(({ isRunning }) => isRunning === false);
    if (after === "start") await destination.event(({ isRunning }) => isRunning === true);
    // The moment is what is tried here.
    await new Promise((resolve) => setTimeout(resolve, random.below(withinMs)));
    (isSourceKilled ? source : destination).kill();
    const [here, there] = await Promise.all([source.end(), destination.end()]);

    for (const [, stopMs] of source.spans()) {
      for (const [startMs] of destination.spans()) expect(startMs, "both ran").toBeGreaterThan(stopMs);
    }
    expect(there?.wrongPages ?? 0).toBe(0);
    const hasStartedThere = destination.spans().length > 0;
    if (isSourceKilled) {
      // The machine runs where it arrived, or it ended with the process that owned it.
      expect(there?.runsAtEnd).toBe(there?.outcome === "arrived");
      expect(hasStartedThere).toBe(there?.outcome === "arrived");
      return `source killed, ${there?.outcome === "arrived" ? "arrived" : "discarded"}`;
    }
    expect(["completed", "failed", "in-doubt"]).toContain(here?.outcome);
    expect(here?.runsAtEnd).toBe(here?.outcome === "failed");
    if (here?.outcome === "completed") expect(hasStartedThere).toBe(true);
    if (here?.outcome === "failed") expect(hasStartedThere).toBe(false);
    return `destination killed, ${here?.outcome}`;
  } finally {
    source.kill();
    destination.kill();
  }
}

const isBuilt = existsSync(new URL("../../dist/migration/migrate.js", import.meta.url));

describe.skipIf(!isBuilt && process.env["PAGEFERRY_REQUIRE"] !== "all")(
  "kill -9 of one of two processes (needs a build)",
  () => {
    it(`at ${RUNS} times from seed ${SEED}: at most one runs, and whoever is left knows`, async () => {
      const outcomes = new Map<string, number>();
      const seeds = Array.from({ length: RUNS }, (_, run) => SEED + run).values();
      const player = async (): Promise<void> => {
        for (const seed of seeds) {
          const outcome = await killOne(seed).catch((cause) => {
            throw new Error(`Seed ${seed}`, { cause });
          });
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        }
      };
      // All of them to their ends, so that no process is left behind where one of them fails.
      const ends = await Promise.allSettled(Array.from({ length: AT_A_TIME }, player));
      for (const end of ends) if (end.status === "rejected") throw end.reason;
      // Before and after the handover, at either end.
      expect([...outcomes.keys()]).toEqual(
        expect.arrayContaining(["source killed, discarded", "destination killed, failed"]),
      );
    }, 120_000);
  },
);
