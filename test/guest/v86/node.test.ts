import { afterEach, describe, expect, it, vi } from "vitest";
import { DEFAULT_MEMORY_BYTES } from "../../../src/guest/v86/create.js";
import { watchEmulator } from "../../../src/guest/v86/emulator.js";
import { createEmulator, installedVersion } from "../../../src/guest/v86/node.js";

afterEach(() => {
  vi.doUnmock("v86");
  vi.resetModules();
});

describe("v86 in Node", () => {
  it("makes an emulator of the shape that is asked for, which does not run", async () => {
    const { emulator, shape } = await createEmulator({ memoryBytes: 3 << 20, vgaMemoryBytes: 1 << 20 });
    expect(shape).toEqual({ version: await installedVersion(), memoryBytes: 3 << 20, vgaMemoryBytes: 1 << 20 });
    expect(emulator.read_memory(0, DEFAULT_MEMORY_BYTES).length).toBe(3 << 20);
    expect(emulator.is_running()).toBe(false);
    await emulator.destroy();
  });

  it("shows the inside that the fast ways need", async () => {
    const { emulator } = await createEmulator({ memoryBytes: 3 << 20 });
    const { cpu } = emulator.v86 ?? {};
    expect(cpu?.wasm_memory?.buffer).toBe(emulator.read_memory(0, 1).buffer);
    for (const name of ["pack_memory", "unpack_memory", "main_loop"] as const)
      expect(cpu?.[name], name).toBeTypeOf("function");
    await emulator.destroy();
  });

  it("stops a machine whose main loop throws, and lives on", async () => {
    const { emulator } = await createEmulator({ memoryBytes: 3 << 20 });
    const cause = new Error("unreachable");
    if (emulator.v86 === undefined) throw new Error("v86 does not show its inside");
    emulator.v86.cpu.main_loop = () => {
      throw cause;
    };
    const watch = watchEmulator(emulator);
    await emulator.run();
    expect(await watch.failed).toMatchObject({ code: "guest-failed", cause });
    await emulator.stop();
    expect(emulator.is_running()).toBe(false);
    await emulator.destroy();
  });

  it("refuses memories of impossible sizes", async () => {
    for (const bytes of [0, -1, 100, 3 * 4096, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(createEmulator({ memoryBytes: bytes })).rejects.toMatchObject({ code: "argument" });
      await expect(createEmulator({ vgaMemoryBytes: bytes })).rejects.toMatchObject({ code: "argument" });
    }
  });

  it("refuses an initramfs that has no room", async () => {
    const initrd = new Uint8Array((8 << 20) + 1);
    await expect(createEmulator({ initrd })).rejects.toMatchObject({ code: "argument" });
    const { emulator } = await createEmulator({ initrd: initrd.subarray(1) });
    await emulator.destroy();
  });

  it("says what is missing where v86 is not installed", async () => {
    vi.resetModules();
    vi.doMock("v86", () => {
      throw new Error("Cannot find package 'v86'");
    });
    const { createEmulator } = await import("../../../src/guest/v86/node.js");
    await expect(createEmulator()).rejects.toMatchObject({ code: "missing-program" });
  });
});
