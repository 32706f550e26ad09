import { describe, expect, it } from "vitest";
import type { Machine } from "../../../src/guest/guest.js";
import type { V86Shape } from "../../../src/guest/v86/emulator.js";
import { V86Guest } from "../../../src/guest/v86/guest.js";
import { V86Host } from "../../../src/guest/v86/host.js";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { FAKE_MEMORY_BYTES, FakeEmulator, WAYS } from "./fake-emulator.js";

const SHAPE: V86Shape = { version: "1.2.3", memoryBytes: FAKE_MEMORY_BYTES, vgaMemoryBytes: 2 << 20 };
const machineOf = (emulator: FakeEmulator): Machine => new V86Guest(emulator, { name: "demo", shape: SHAPE }).machine;
const MACHINE = machineOf(new FakeEmulator());
const argument = expect.objectContaining({ code: "argument" });

function hostOf(emulator: FakeEmulator): V86Host {
  return new V86Host({ version: SHAPE.version, create: async () => emulator });
}

describe.each(WAYS)("v86 host $name", ({ way }) => {
  it("takes in a machine that then goes on where it was", async () => {
    const source = new FakeEmulator();
    source.ram.set(new Random(1).memoryLike(FAKE_MEMORY_BYTES));
    source.registers.set(new Random(2).bytes(10));
    const guest = new V86Guest(way(source), { name: "demo", shape: SHAPE });

    const destination = new FakeEmulator();
    destination.ram.fill(0xff);
    const shapes: V86Shape[] = [];
    const host = new V86Host({
      version: SHAPE.version,
      create: async (shape) => {
        shapes.push(shape);
        return way(destination);
      },
    });
    await host.prepare(guest.machine);
    expect(shapes).toEqual([SHAPE]);
    expect(destination.ram.every((byte) => byte === 0)).toBe(true);

    const page = new Uint8Array(4096);
    for (let number = 0; number < FAKE_MEMORY_BYTES / 4096; number++) {
      guest.readPages(number, page);
      host.writePages(number, page);
    }
    expect(destination.compiledCodeDrops).toBeGreaterThanOrEqual(FAKE_MEMORY_BYTES / 4096);
    host.readPages(7, page);
    expectSameBytes(page, source.ram.subarray(7 * 4096, 8 * 4096));

    await host.loadState(await guest.saveState());
    expectSameBytes(destination.ram, source.ram);
    expectSameBytes(destination.registers, source.registers);
    expect(destination.is_running()).toBe(false);
    await host.start();
    expect(destination.is_running()).toBe(true);
    await host.discard();
    expect(destination.destroyed).toBe(true);
  });
});

describe("v86 host", () => {
  it("refuses machines that it cannot take, before it makes anything", async () => {
    const region = { name: "ram", byteLength: FAKE_MEMORY_BYTES };
    const { configuration } = MACHINE;
    const ofBytes = (byteLength: number): Machine => ({ ...MACHINE, regions: [{ name: "ram", byteLength }] });
    for (const machine of [
      { ...MACHINE, kind: "qemu" },
      { ...MACHINE, pageBytes: 8192 },
      { ...MACHINE, regions: [] },
      { ...MACHINE, regions: [region, region] },
      { ...MACHINE, configuration: { ...configuration, version: "1.2.4" } },
      { ...MACHINE, configuration: { version: "1.2.3" } },
      { ...MACHINE, configuration: { ...configuration, vgaMemoryBytes: "2097152" } },
      { ...MACHINE, configuration: { ...configuration, vgaMemoryBytes: 1 << 30 } },
      { ...MACHINE, configuration: { ...configuration, vgaMemoryBytes: 0 } },
      ofBytes(0),
      ofBytes(FAKE_MEMORY_BYTES + 4096),
      ofBytes((1 << 30) + (128 << 10)),
      ofBytes(Number.NaN),
      ofBytes(-FAKE_MEMORY_BYTES),
    ]) {
      const create = async (): Promise<never> => expect.fail("an emulator was made");
      const host = new V86Host({ version: SHAPE.version, create });
      await expect(host.prepare(machine)).rejects.toMatchObject({ code: "machine-unfit" });
    }
    const small = new V86Host({ version: "1.2.3", create: async () => new FakeEmulator(), maxMemoryBytes: 1 << 20 });
    await expect(small.prepare(ofBytes(2 << 20))).rejects.toMatchObject({ code: "machine-unfit" });
    await small.prepare(MACHINE);
  });

  it("takes its steps in order", async () => {
    const host = hostOf(new FakeEmulator());
    const state = await new V86Guest(new FakeEmulator(), { name: "demo", shape: SHAPE }).saveState();
    const page = new Uint8Array(4096);
    expect(() => host.writePages(0, page)).toThrow(argument);
    await expect(host.loadState(state)).rejects.toThrow(argument);
    await host.prepare(MACHINE);
    await expect(host.prepare(MACHINE)).rejects.toThrow(argument);
    await expect(host.start()).rejects.toThrow(argument);
    await host.loadState(state);
    await expect(host.loadState(state)).rejects.toThrow(argument);
    await host.start();
    expect(() => host.writePages(0, page)).toThrow(argument);
    await expect(host.start()).rejects.toThrow(argument);
    await host.discard();
    await host.discard();
    await expect(host.start()).rejects.toThrow(argument);
  });

  it("never starts a machine whose state was refused", async () => {
    const emulator = new FakeEmulator();
    const host = hostOf(emulator);
    await host.prepare(MACHINE);
    await expect(host.loadState(new Uint8Array(100))).rejects.toMatchObject({ code: "state-malformed" });
    await expect(host.start()).rejects.toThrow(argument);
    await host.discard();
    expect(emulator.is_running()).toBe(false);
    expect(emulator.destroyed).toBe(true);
  });

  it("writes inside the memory only", async () => {
    const emulator = new FakeEmulator();
    const host = hostOf(emulator);
    await host.prepare(MACHINE);
    const around = new Uint8Array(emulator.memory.buffer).slice();
    for (const [page, bytes] of [[FAKE_MEMORY_BYTES / 4096, 4096] as const, [-1, 4096] as const, [0, 5] as const]) {
      expect(() => host.writePages(page, new Uint8Array(bytes).fill(1))).toThrow(argument);
    }
    expectSameBytes(new Uint8Array(emulator.memory.buffer), around);
  });

  it("refuses an emulator of another size, or one that runs", async () => {
    await expect(hostOf(new FakeEmulator(2 << 20)).prepare(MACHINE)).rejects.toThrow(argument);
    const running = new FakeEmulator();
    await running.run();
    const host = hostOf(running);
    await expect(host.prepare(MACHINE)).rejects.toThrow(argument);
    await host.discard();
    expect(running.destroyed).toBe(true);
  });

  it("leaves nothing when it is discarded while it prepares", async () => {
    const emulator = new FakeEmulator();
    const host = hostOf(emulator);
    const preparing = host.prepare(MACHINE);
    await host.discard();
    await expect(preparing).rejects.toThrow(argument);
    expect(emulator.destroyed).toBe(true);
  });
});
