import { readPackageBytes } from "./files.js";

interface Lz4WasmExports {
  readonly memory: WebAssembly.Memory;
  compress(result: number, pointer: number, length: number): void;
  decompress(result: number, pointer: number, length: number): void;
  __wbindgen_add_to_stack_pointer(delta: number): number;
  __wbindgen_malloc(length: number): number;
  __wbindgen_free(pointer: number, length: number): void;
}

/**
 * lz4-wasm under a host of our own, since its package loads in some bundlers only. Peer and oracle: never give it bytes to decompress that
 * did not come from a compressor we trust, for it hands out old heap contents on malformed blocks.
 */
export class Lz4Wasm {
  readonly #exports: Lz4WasmExports;

  private constructor(exports: Lz4WasmExports) {
    this.#exports = exports;
  }

  static async load(): Promise<Lz4Wasm> {
    const imports = { "./lz4_wasm_bg.js": { __wbindgen_string_new: () => 0 } };
    const { instance } = await WebAssembly.instantiate(await readPackageBytes("lz4-wasm/lz4_wasm_bg.wasm"), imports);
    return new Lz4Wasm(instance.exports as unknown as Lz4WasmExports);
  }

  /** One block. (The library puts its size in front; that is taken off.) */
  compress(input: Uint8Array): Uint8Array {
    return this.#call("compress", input).subarray(4);
  }

  decompress(block: Uint8Array, outputBytes: number): Uint8Array {
    const sized = new Uint8Array(block.length + 4);
    new DataView(sized.buffer).setUint32(0, outputBytes, true);
    sized.set(block, 4);
    return this.#call("decompress", sized);
  }

  #call(name: "compress" | "decompress", input: Uint8Array): Uint8Array {
    const wasm = this.#exports;
    const result = wasm.__wbindgen_add_to_stack_pointer(-16);
    try {
      const pointer = wasm.__wbindgen_malloc(input.length);
      new Uint8Array(wasm.memory.buffer).set(input, pointer);
      wasm[name](result, pointer, input.length);
      const [at, length, , isError] = new Int32Array(wasm.memory.buffer, result, 4) as unknown as [
        number,
        number,
        number,
        number,
      ];
      if (name === "decompress" && isError !== 0) throw new Error("lz4-wasm refuses the block");
      const output = new Uint8Array(wasm.memory.buffer).slice(at, at + length);
      wasm.__wbindgen_free(at, length);
      return output;
    } finally {
      wasm.__wbindgen_add_to_stack_pointer(16);
    }
  }
}
