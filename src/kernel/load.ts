import { Arena, type ArenaRegion } from "./arena.js";
import { BitmapKernels } from "./bitmap.js";
import { DedupKernels } from "./dedup.js";
import { DeltaKernels } from "./delta.js";
import { KernelError } from "./errors.js";
import { KERNEL_EXPORT_NAMES, type KernelExports } from "./exports.js";
import { FingerprintKernels } from "./fingerprint.js";
import { inlineKernels } from "./inline.js";
import { Lz4Kernels } from "./lz4.js";
import { ScanKernels } from "./scan.js";

/** All kernels over one memory. */
export interface Kernels {
  /** Hands out the memory that the kernels work on. */
  readonly arena: Arena;
  readonly scan: ScanKernels;
  readonly fingerprint: FingerprintKernels;
  readonly bitmap: BitmapKernels;
  readonly delta: DeltaKernels;
  readonly dedup: DedupKernels;
  readonly lz4: Lz4Kernels;
  /** The module's own exports: pointers in, nothing checked. */
  readonly exports: KernelExports;
}

/** Where the kernels' Wasm comes from, besides the copy inside the library (which is `pageferry/kernels.wasm`). */
export type KernelSource = Uint8Array | ArrayBuffer | WebAssembly.Module;

/** Options of {@link createKernelsSync}. */
export interface KernelOptions<Source = KernelSource> {
  /** Default: the copy inside the library. */
  readonly source?: Source;
  /** In place: a memory that somebody else owns, to work on where it is. Default: a memory of the kernels' own. */
  readonly inPlace?: {
    readonly memory: WebAssembly.Memory;
    /** The part of it that the kernels' arena may use. */
    readonly scratch: ArenaRegion;
  };
}

/** Options of {@link createKernels}: the source may also be a response (of `fetch`), or a promise of any source. */
export type AsyncKernelOptions = KernelOptions<KernelSource | Response | Promise<KernelSource | Response>>;

/** Creates kernels; works everywhere, browsers' main threads included. Throws `simd-missing` where the runtime has no Wasm SIMD. */
export async function createKernels(options: AsyncKernelOptions = {}): Promise<Kernels> {
  if (options.source !== undefined) return instantiate(await compile(await options.source), options);
  return instantiate(await compileKernels(), options);
}

/** The kernels' module inside the library, compiled once: to be handed to other threads as the `source` of theirs. */
export function compileKernels(): Promise<WebAssembly.Module> {
  inlineModule ??= compile(inlineKernels());
  return inlineModule;
}

/** The copy inside the library is compiled once. */
let inlineModule: Promise<WebAssembly.Module> | undefined;

/** Like {@link createKernels}, at once. Some browsers refuse this on their main thread. */
export function createKernelsSync(options: KernelOptions = {}): Kernels {
  const source = options.source ?? inlineKernels();
  return instantiate(source instanceof WebAssembly.Module ? source : compileSync(source), options);
}

async function compile(source: KernelSource | Response): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  // Not by the class's name: Node loads its whole fetch when somebody says it.
  if ("arrayBuffer" in source) {
    if (!source.ok) throw new KernelError("module", `The kernels could not be fetched: status ${source.status}.`);
    return compile(await source.arrayBuffer());
  }
  try {
    return await WebAssembly.compile(source as BufferSource);
  } catch (cause) {
    throw notCompiled(cause);
  }
}

function compileSync(source: Uint8Array | ArrayBuffer): WebAssembly.Module {
  try {
    return new WebAssembly.Module(source as BufferSource);
  } catch (cause) {
    throw notCompiled(cause);
  }
}

/** A module of one function that returns a zero vector: valid only where SIMD is. */
const SIMD_PROBE = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 5, 1, 0x60, 0, 1, 0x7b],
  ...[3, 2, 1, 0],
  ...[10, 8, 1, 6, 0, 0x41, 0, 0xfd, 0x0f, 0x0b],
);

function notCompiled(cause: unknown): KernelError {
  if (!WebAssembly.validate(SIMD_PROBE)) {
    return new KernelError("simd-missing", "This runtime has no WebAssembly SIMD; pageferry needs it.", { cause });
  }
  return new KernelError("module", "The given bytes are not the kernels' WebAssembly module.", { cause });
}

function instantiate(module: WebAssembly.Module, { inPlace }: Pick<KernelOptions, "inPlace">): Kernels {
  const memory = inPlace?.memory ?? new WebAssembly.Memory({ initial: 1 });
  const arena = new Arena(memory, inPlace?.scratch);
  let exports: KernelExports;
  try {
    exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelExports;
  } catch (cause) {
    throw new KernelError("module", "The module cannot be instantiated on this memory.", { cause });
  }
  const missing = KERNEL_EXPORT_NAMES.find((name) => typeof exports[name] !== "function");
  if (missing !== undefined) throw new KernelError("module", `The module has no kernel ${missing}.`);
  return {
    arena,
    scan: new ScanKernels(exports, arena),
    fingerprint: new FingerprintKernels(exports, arena),
    bitmap: new BitmapKernels(exports, arena),
    delta: new DeltaKernels(exports, arena),
    dedup: new DedupKernels(exports, arena),
    lz4: new Lz4Kernels(exports, arena),
    exports,
  };
}
