import Benchmark from "benchmark";

/** One thing to time: what a call does, and over how many bytes. */
export interface Target {
  readonly bytes: number;
  run(): void;
}

/** A target that visits every block of a region of `bytes` bytes, packed or not, in turn. */
export function visitEach<Block>(bytes: number, blocks: readonly Block[], visit: (block: Block) => unknown): Target {
  return {
    bytes,
    run() {
      for (const block of blocks) visit(block);
    },
  };
}

/** A kernel beside its peers. */
export interface Row {
  readonly name: string;
  /** What the bytes are. */
  readonly input: string;
  readonly kernel: Target;
  readonly peers: Readonly<Record<string, Target>>;
  /** How many bytes the kernel makes of its input. */
  readonly outputBytes?: number;
}

/** A measured row, as `--json` writes it. */
export interface Result {
  readonly name: string;
  readonly input: string;
  readonly bytesPerSecond: number;
  readonly peers: Record<string, number>;
  /** The kernel's speed divided by each peer's: the median over the rounds. */
  readonly ratios: Record<string, number>;
  readonly outputBytes?: number;
}

export interface Effort {
  /** How often the kernel and its peers are timed in turn. */
  readonly rounds: number;
  /** How long each is timed in a round. */
  readonly secondsPerTarget: number;
}

/** Times the kernel and its peers alternately, so that a machine that changes its speed changes it for all of them. */
export function measure(row: Row, effort: Effort): Result {
  const targets: [string, Target][] = [["kernel", row.kernel], ...Object.entries(row.peers)];
  const speeds = new Map<string, number[]>(targets.map(([name]) => [name, []]));
  for (const [, target] of targets) target.run();
  for (let round = 0; round < effort.rounds; round++) {
    for (const [name, target] of targets) speeds.get(name)?.push(bytesPerSecond(row.name, name, target, effort));
  }
  const own = speeds.get("kernel") as number[];
  const peers = Object.keys(row.peers);
  return {
    name: row.name,
    input: row.input,
    bytesPerSecond: Math.round(median(own)),
    peers: Object.fromEntries(peers.map((peer) => [peer, Math.round(median(speeds.get(peer) as number[]))])),
    ratios: Object.fromEntries(
      peers.map((peer) => {
        const theirs = speeds.get(peer) as number[];
        return [peer, Number(median(own.map((speed, round) => speed / (theirs[round] as number))).toFixed(3))];
      }),
    ),
    ...(row.outputBytes === undefined ? {} : { outputBytes: row.outputBytes }),
  };
}

function bytesPerSecond(row: string, name: string, target: Target, { secondsPerTarget }: Effort): number {
  // No setup or teardown: with those, benchmark.js takes the function's source apart and reports 0.
  const benchmark = new Benchmark(name, () => target.run(), {
    maxTime: secondsPerTarget,
    minTime: secondsPerTarget / 4,
    minSamples: 1,
  });
  benchmark.run();
  const { error, stats } = benchmark as unknown as { error?: Error; stats: { mean: number } };
  if (error !== undefined) throw new Error(`${row}, ${name}: ${error.message}`, { cause: error });
  if (!(stats.mean > 0)) throw new Error(`${row}, ${name}: nothing was measured`);
  return target.bytes / stats.mean;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
