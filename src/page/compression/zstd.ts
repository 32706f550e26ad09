import { PageError } from "../errors.js";
import { checkNumber } from "../limits.js";
import { checkZstdFrame, ZSTD_MAX_CONTENT_BYTES, zstdBound, zstdMalformed } from "./zstd-frame.js";

/** The levels that stay within the window that every decoder takes. */
const MIN_LEVEL = 1;
const MAX_LEVEL = 19;

/** Zstandard frames (RFC 8878). Each result is a copy that belongs to the caller. */
export interface Zstd {
  /** One frame that holds `bytes` (up to 64 MiB) and says how many they are. Level 1 is the fastest, 19 the smallest. Throws `argument`. */
  compress(bytes: Uint8Array, level: number): Uint8Array;
  /** The `outputBytes` bytes (up to 64 MiB) of the one frame in `bytes`. Throws `zstd-malformed`, whatever `bytes` hold, and `argument`. */
  decompress(bytes: Uint8Array, outputBytes: number): Uint8Array;
}

/** Zstandard from node:zlib where this Node has it (22.15, 23.8 and later), else from WebAssembly. Throws `zstd-missing`. */
export async function loadZstd(): Promise<Zstd> {
  const codec = nodeCodec() ?? (await wasmCodec());
  return {
    compress(bytes, level) {
      checkNumber("bytes.byteLength", bytes.byteLength, 0, ZSTD_MAX_CONTENT_BYTES);
      checkNumber("level", level, MIN_LEVEL, MAX_LEVEL);
      return codec.compress(bytes, level);
    },
    decompress(bytes, outputBytes) {
      checkNumber("outputBytes", outputBytes, 0, ZSTD_MAX_CONTENT_BYTES);
      checkZstdFrame(bytes, outputBytes);
      const output = codec.decompress(bytes, outputBytes);
      if (output?.byteLength !== outputBytes) throw zstdMalformed("its blocks cannot be read");
      return output;
    },
  };
}

/** Compresses and decompresses without checks of its own; `undefined` where the frame cannot be read. */
interface Codec {
  compress(bytes: Uint8Array, level: number): Uint8Array;
  decompress(bytes: Uint8Array, outputBytes: number): Uint8Array | undefined;
}

/** What newer versions of node:zlib have; the types of the oldest Node do not know it. */
interface ZlibWithZstd {
  readonly constants: { readonly ZSTD_c_compressionLevel: number };
  zstdCompressSync?(
    bytes: Uint8Array,
    options: { chunkSize: number; pledgedSrcSize: number; params: Record<number, number> },
  ): Uint8Array;
  zstdDecompressSync(bytes: Uint8Array, options: { chunkSize: number; maxOutputLength: number }): Uint8Array;
}

/** More than the content, so that zlib sees the end without taking a second chunk; at least 64, as zlib wants. */
const CHUNK_MARGIN_BYTES = 64;

function nodeCodec(): Codec | undefined {
  // Not an import: bundlers for the browser would stumble over it.
  const zlib = globalThis.process?.getBuiltinModule?.("node:zlib") as unknown as ZlibWithZstd | undefined;
  if (zlib?.zstdCompressSync === undefined) return undefined;
  const { zstdCompressSync, zstdDecompressSync, constants } = zlib;
  return {
    compress: (bytes, level) =>
      new Uint8Array(
        zstdCompressSync(bytes, {
          chunkSize: zstdBound(bytes.byteLength) + CHUNK_MARGIN_BYTES,
          pledgedSrcSize: bytes.byteLength,
          params: { [constants.ZSTD_c_compressionLevel]: level },
        }),
      ),
    decompress(bytes, outputBytes) {
      try {
        return new Uint8Array(
          zstdDecompressSync(bytes, {
            chunkSize: outputBytes + CHUNK_MARGIN_BYTES,
            maxOutputLength: Math.max(outputBytes, 1),
          }),
        );
      } catch (error) {
        throw zstdMalformed("its blocks cannot be read", { cause: error });
      }
    },
  };
}

/**
 * What @hpcc-js/wasm-zstd has inside. Its public calls copy every result byte by byte through an array, which is 10 times slower than zstd itself,
 * and take the output's size from the input; so this goes to the Wasm module directly. The package is pinned exactly for that.
 */
interface WasmZstd {
  readonly _mainModule: {
    readonly _module: { readonly HEAPU8: Uint8Array };
    malloc(byteLength: number): { readonly ptr: number };
    free(memory: { readonly ptr: number }): void;
  };
  /** Both return the output's length; an error is a number above every length. */
  readonly _zstdClass: {
    compress(output: number, capacity: number, input: number, inputBytes: number, level: number): number;
    decompress(output: number, capacity: number, input: number, inputBytes: number): number;
  };
}

async function wasmCodec(): Promise<Codec> {
  let zstd: WasmZstd;
  try {
    const { Zstd } = await import("@hpcc-js/wasm-zstd");
    zstd = (await Zstd.load()) as unknown as WasmZstd;
  } catch (error) {
    throw new PageError("zstd-missing", "This runtime has no zstd, and its WebAssembly build cannot be loaded.", {
      cause: error,
    });
  }
  const { _mainModule: main, _zstdClass: methods } = zstd;

  function allocate(byteLength: number): { readonly ptr: number } {
    const memory = main.malloc(Math.max(byteLength, 1));
    if (memory.ptr === 0) throw new RangeError(`zstd finds no memory for ${byteLength} bytes.`);
    return memory;
  }

  /** Runs `call` from a copy of `bytes` to `capacity` bytes of output. The views are read anew each time: growing memory detaches them. */
  function run(
    bytes: Uint8Array,
    capacity: number,
    call: (output: number, input: number) => number,
  ): Uint8Array | undefined {
    const input = allocate(bytes.byteLength);
    try {
      const output = allocate(capacity);
      try {
        main._module.HEAPU8.set(bytes, input.ptr);
        const length = call(output.ptr, input.ptr) >>> 0;
        return length > capacity ? undefined : main._module.HEAPU8.slice(output.ptr, output.ptr + length);
      } finally {
        main.free(output);
      }
    } finally {
      main.free(input);
    }
  }

  return {
    compress(bytes, level) {
      const capacity = zstdBound(bytes.byteLength);
      const frame = run(bytes, capacity, (output, input) =>
        methods.compress(output, capacity, input, bytes.byteLength, level),
      );
      if (frame === undefined) throw new RangeError(`zstd finds no memory to compress ${bytes.byteLength} bytes.`);
      return frame;
    },
    decompress: (bytes, outputBytes) =>
      run(bytes, outputBytes, (output, input) => methods.decompress(output, outputBytes, input, bytes.byteLength)),
  };
}
