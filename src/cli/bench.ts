import { arch, cpus } from "node:os";
import type { Command } from "commander";
import { ImageFile } from "../guest/file/image.js";
import { WINDOW_BYTES } from "../guest/file/source.js";
import { WorkloadWriter } from "../guest/memory/workload.js";
import { createPageDecoder, createPageEncoder } from "../page/create.js";
import type { Codec } from "../wire/batch.js";
import { plainTable } from "./table.js";
import { formatBytes } from "./units.js";

const PAGE_BYTES = 4096;
const MEMORY_BYTES = 256 << 20;
const CODECS: readonly Codec[] = ["none", "lz4", "zstd"];

/** What one codec makes of a memory. */
interface CodecFigures {
  readonly codec: Codec;
  readonly encodedBytes: number;
  readonly encodeBytesPerSecond: number;
  readonly decodeBytesPerSecond: number;
}

/** Adds `pageferry bench`. */
export function addBenchCommand(program: Command): void {
  program
    .command("bench")
    .description("measure how fast this machine encodes and decodes memory with each codec")
    .argument("[image]", "a memory image (default: a made-up memory, half of it zero)")
    .option("--json", "print one JSON object")
    .addHelpText("after", "\nExamples:\n  pageferry bench\n  pageferry bench guest.raw --json")
    .action(async (image: string | undefined, options: { json?: true }) => {
      const memory = image === undefined ? madeUpMemory() : readImage(image);
      const figures: CodecFigures[] = [];
      for (const codec of CODECS) figures.push(await measure(codec, memory));
      if (options.json) console.log(JSON.stringify({ memoryBytes: memory.length, codecs: figures }));
      else console.log(tableOf(memory.length, figures));
    });
}

async function measure(compression: Codec, memory: Uint8Array): Promise<CodecFigures> {
  const space = { pageBytes: PAGE_BYTES, pageCount: memory.length / PAGE_BYTES };
  const encoder = await createPageEncoder({ ...space, compression });
  const batches: Uint8Array[] = [];
  const drain = (): void => {
    for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) batches.push(batch);
  };
  const encodeMs = timed(() => {
    for (let at = 0; at < memory.length; at += WINDOW_BYTES) {
      encoder.add(at / PAGE_BYTES, memory.subarray(at, at + WINDOW_BYTES));
      drain();
    }
    encoder.flush();
    drain();
  });
  const copy = new Uint8Array(memory.length);
  const decoder = await createPageDecoder(
    {
      readPages: (page, into) => into.set(copy.subarray(page * PAGE_BYTES, page * PAGE_BYTES + into.length)),
      writePages: (page, from) => copy.set(from, page * PAGE_BYTES),
    },
    { ...space, compression },
  );
  const decodeMs = timed(() => {
    for (const batch of batches) decoder.decode(batch);
  });
  return {
    codec: compression,
    encodedBytes: encoder.encoded.encodedBytes,
    encodeBytesPerSecond: (memory.length / encodeMs) * 1000,
    decodeBytesPerSecond: (memory.length / decodeMs) * 1000,
  };
}

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function madeUpMemory(): Uint8Array {
  const memory = new Uint8Array(MEMORY_BYTES);
  const workload = { seed: 1, filledBytes: MEMORY_BYTES / 2, workingSetPages: 1, pagesPerSecond: 0, bytesPerPage: 0 };
  new WorkloadWriter({ ...workload, pattern: "sequential" }, PAGE_BYTES).fill(memory);
  return memory;
}

function readImage(path: string): Uint8Array {
  const image = ImageFile.open(path);
  try {
    const memory = new Uint8Array(Math.ceil(image.byteLength / PAGE_BYTES) * PAGE_BYTES);
    for (let at = 0; at < memory.length; at += WINDOW_BYTES) image.read(at, memory.subarray(at, at + WINDOW_BYTES));
    return memory;
  } finally {
    image.close();
  }
}

function tableOf(memoryBytes: number, figures: readonly CodecFigures[]): string {
  const table = plainTable(["codec", "bytes", "encode", "decode"], 1);
  for (const { codec, encodedBytes, encodeBytesPerSecond, decodeBytesPerSecond } of figures) {
    const rates = [encodeBytesPerSecond, decodeBytesPerSecond].map((rate) => `${formatBytes(rate)}/s`);
    table.push([codec, formatBytes(encodedBytes), ...rates]);
  }
  const where = `${cpus()[0]?.model ?? arch()}, Node ${process.versions.node}`;
  return `${formatBytes(memoryBytes)} of memory on ${where}:\n${table.toString()}`;
}
