import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Codec, createKernelsSync, PageEncoder } from "pageferry";
import { loadZstd, type Zstd } from "../../src/page/compression/zstd.js";
import { findProgram } from "../../test/support/require.js";
import { PAGE_BYTES } from "../input.js";
import { linuxImages } from "../linux-images.js";
import type { Row, Target } from "../measure.js";

const WINDOW_BYTES = 1 << 20;
const BATCH_BYTES = 1 << 20;
const COMMAND = new URL("../../../dist/cli/main.js", import.meta.url).pathname;

/** Whole images of a Linux guest's memory through the page codec, and the difference of two, beside the programs that people use. */
export async function* pipelineRows(): AsyncGenerator<Row> {
  const images = await linuxImages();
  const folder = mkdtempSync(join(tmpdir(), "pageferry-bench-"));
  try {
    const zstd = await loadZstd();
    for (const [codec, program] of [
      ["lz4", "lz4"],
      ["zstd", "zstd"],
    ] as const) {
      yield encodeRow(codec, program, images.before, join(folder, "image"), zstd);
    }
    yield diffRow(images.before, images.after, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function encodeRow(codec: Codec, program: "lz4" | "zstd", image: string, output: string, zstd: Zstd): Row {
  const memory = readFileSync(image);
  const peer = programTarget(program, memory.length, output, [
    "-1",
    "-q",
    "-f",
    image,
    ...(program === "zstd" ? ["-o"] : []),
    output,
  ]);
  return {
    name: `pipeline/${codec}`,
    input: `256 MiB of a Linux guest's memory${peer === undefined ? "" : ` (${program} -1 makes ${peer.outputBytes} bytes of it)`}`,
    outputBytes: encode(memory, codec, zstd),
    kernel: { bytes: memory.length, run: () => encode(memory, codec, zstd) },
    peers: peer === undefined ? {} : { [`${program} -1 (process)`]: peer.target },
  };
}

function diffRow(before: string, after: string, folder: string): Row {
  const bytes = statSync(after).size;
  const patch = join(folder, "pageferry.patch");
  const own = programTarget(process.execPath, bytes, patch, [COMMAND, "diff", before, after, "-o", patch, "--force"]);
  const zstdPatch = join(folder, "zstd.patch");
  const options = ["-3", "--long=28", "-q", "-f", `--patch-from=${before}`, after, "-o", zstdPatch];
  const peer = programTarget("zstd", bytes, zstdPatch, options);
  if (own === undefined) throw new Error("pageferry diff failed.");
  return {
    name: "pipeline/diff",
    input: `two images, a second apart${peer === undefined ? "" : ` (zstd makes ${peer.outputBytes} bytes of it)`}`,
    outputBytes: own.outputBytes,
    kernel: own.target,
    peers: peer === undefined ? {} : { "zstd -3 --long=28 --patch-from (process)": peer.target },
  };
}

function encode(memory: Uint8Array, compression: Codec, zstd: Zstd): number {
  const pageCount = memory.length / PAGE_BYTES;
  const options = { pageBytes: PAGE_BYTES, pageCount, compression, batchBytes: BATCH_BYTES, zstdLevel: 1 };
  const encoder = new PageEncoder(createKernelsSync(), { ...options, cacheBytes: memory.length }, zstd);
  for (let at = 0; at < memory.length; at += WINDOW_BYTES) {
    encoder.add(at / PAGE_BYTES, memory.subarray(at, at + WINDOW_BYTES));
    while (encoder.take() !== undefined);
  }
  encoder.flush();
  return encoder.encoded.encodedBytes;
}

/** A program's whole run, and how large its output is; undefined where it is missing. */
function programTarget(
  program: string,
  bytes: number,
  output: string,
  parameters: readonly string[],
): { readonly target: Target; readonly outputBytes: number } | undefined {
  if (program !== process.execPath && findProgram(program) === undefined) return undefined;
  const run = (): void => {
    const { status, stderr } = spawnSync(program, parameters, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
  };
  run();
  return { target: { bytes, run }, outputBytes: statSync(output).size };
}
