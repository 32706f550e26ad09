import { describe, expect, it } from "vitest";
import { createKernels, createKernelsSync, KERNEL_EXPORT_NAMES, type Kernels } from "../../src/index.js";
import { builds } from "../support/builds.js";
import { readBytes, readText } from "../support/files.js";

const bytes = await readBytes("dist/kernels.wasm");
const code = (name: string): unknown => expect.objectContaining({ code: name });

function countZeroPages({ arena, scan }: Kernels): number {
  const pages = arena.allocatePages(3, 4096);
  pages.bytes.fill(0);
  pages.bytes[5000] = 1;
  return scan.zero(pages, 4096, arena.allocateBitmap(3));
}

describe.each(builds)("the module, $name build", ({ module, bytes: wasm }) => {
  it("exports exactly the kernels of KernelExports", () => {
    const exports = WebAssembly.Module.exports(module);
    expect(exports.map(({ name }) => name).sort()).toEqual([...KERNEL_EXPORT_NAMES].sort());
    expect(exports.every(({ kind }) => kind === "function")).toBe(true);
  });

  it("has as many parameters in each kernel as KernelExports says", async () => {
    const source = await readText("src/kernel/exports.ts");
    const instance = new WebAssembly.Instance(module, { env: { memory: new WebAssembly.Memory({ initial: 1 }) } });
    for (const name of KERNEL_EXPORT_NAMES) {
      const declared = source.match(new RegExp(`^  ${name}\\(([^)]*)\\)`, "m"))?.[1]?.match(/: number/g)?.length;
      expect((instance.exports[name] as () => void).length, name).toBe(declared);
    }
  });

  it("imports only a memory", () => {
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
  });

  it("has neither a start function nor a data segment", () => {
    const sections = sectionIds(wasm);
    expect(sections).toContain(10);
    expect(sections).not.toContain(8);
    expect(sections).not.toContain(11);
  });
});

/** The section ids of a Wasm file, in order. */
function sectionIds(file: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 8; at < file.length; ) {
    ids.push(file[at++] as number);
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = file[at++] as number;
      size |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    at += size;
  }
  return ids;
}

describe("createKernels", () => {
  it("takes the inlined copy, bytes, a module, a response or a promise of these", async () => {
    const module = new WebAssembly.Module(bytes);
    const response = (): Response => new Response(bytes, { headers: { "content-type": "application/octet-stream" } });
    for (const source of [
      undefined,
      bytes,
      Uint8Array.from(bytes).buffer,
      module,
      response(),
      Promise.resolve(response()),
    ]) {
      expect(countZeroPages(await createKernels(source === undefined ? {} : { source }))).toBe(2);
    }
    for (const source of [undefined, bytes, module]) {
      expect(countZeroPages(createKernelsSync(source === undefined ? {} : { source }))).toBe(2);
    }
  });

  it("says what is wrong with what it was given", async () => {
    const empty = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
    await expect(createKernels({ source: Uint8Array.of(1, 2, 3) })).rejects.toThrow(code("module"));
    await expect(createKernels({ source: empty })).rejects.toThrow(code("module"));
    await expect(createKernels({ source: new Response(null, { status: 404 }) })).rejects.toThrow(code("module"));
    expect(() => createKernelsSync({ source: Uint8Array.of(1, 2, 3) })).toThrow(code("module"));
  });

  it("says so where the runtime has no SIMD", async () => {
    const { validate, compile } = WebAssembly;
    WebAssembly.validate = () => false;
    WebAssembly.compile = () => Promise.reject(new WebAssembly.CompileError("no SIMD"));
    try {
      await expect(createKernels({ source: bytes })).rejects.toThrow(code("simd-missing"));
    } finally {
      Object.assign(WebAssembly, { validate, compile });
    }
    expect(() => createKernelsSync({ source: Uint8Array.of(1) })).toThrow(code("module"));
  });
});
