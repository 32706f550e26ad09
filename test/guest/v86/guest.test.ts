import { describe, expect, it } from "vitest";
import { watchEmulator } from "../../../src/guest/v86/emulator.js";
import { V86Guest } from "../../../src/guest/v86/guest.js";
import { createKernelsSync } from "../../../src/index.js";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { FAKE_MEMORY_BYTES, FakeEmulator, publicOnly } from "./fake-emulator.js";

const SHAPE = { version: "1.2.3", memoryBytes: FAKE_MEMORY_BYTES, vgaMemoryBytes: 2 << 20 };
const OPTIONS = { name: "demo", shape: SHAPE };

function started(): { emulator: FakeEmulator; guest: V86Guest } {
  const emulator = new FakeEmulator();
  emulator.ram.set(new Random(1).bytes(5 * 4096));
  return { emulator, guest: new V86Guest(emulator, OPTIONS) };
}

describe("v86 guest", () => {
  it("says what machine it is", () => {
    expect(started().guest.machine).toEqual({
      name: "demo",
      kind: "v86",
      pageBytes: 4096,
      regions: [{ name: "ram", byteLength: FAKE_MEMORY_BYTES }],
      configuration: { version: "1.2.3", vgaMemoryBytes: 2 << 20, hasConsole: false },
    });
    for (const memoryBytes of [FAKE_MEMORY_BYTES / 2, FAKE_MEMORY_BYTES * 2]) {
      const wrong = { name: "demo", shape: { ...SHAPE, memoryBytes } };
      expect(() => new V86Guest(new FakeEmulator(), wrong)).toThrow(expect.objectContaining({ code: "argument" }));
    }
  });

  it("reads whole pages inside its memory, and nothing else", () => {
    const { emulator, guest } = started();
    const pages = new Uint8Array(2 * 4096);
    guest.readPages(3, pages);
    expectSameBytes(pages, emulator.ram.subarray(3 * 4096, 5 * 4096));
    const last = FAKE_MEMORY_BYTES / 4096 - 1;
    guest.readPages(last, pages.subarray(4096));
    for (const [firstPage, byteLength] of [
      [last, 8192],
      [-1, 4096],
      [0.5, 4096],
      [Number.NaN, 4096],
      [0, 100],
    ] as const) {
      expect(() => guest.readPages(firstPage, new Uint8Array(byteLength))).toThrow(
        expect.objectContaining({ code: "argument" }),
      );
    }
  });

  it("pauses and resumes, each as often as one likes and at once", async () => {
    const { emulator, guest } = started();
    let ticks = 0;
    let tick: () => void = () => undefined;
    emulator.program = () => {
      ticks++;
      tick();
    };
    await guest.resume();
    await Promise.all([guest.pause(), guest.resume(), guest.pause(), guest.pause()]);
    expect(emulator.is_running()).toBe(false);
    const before = ticks;
    await new Promise(setImmediate);
    expect(ticks).toBe(before);
    await Promise.all([guest.resume(), guest.resume(), guest.pause(), guest.resume()]);
    expect(emulator.is_running()).toBe(true);
    await new Promise<void>((resolve) => {
      tick = resolve;
    });
    await guest.pause();
  });

  it("saves its state when it is paused only", async () => {
    const { guest } = started();
    await guest.resume();
    await expect(guest.saveState()).rejects.toMatchObject({ code: "argument" });
    await guest.pause();
    expect((await guest.saveState()).length).toBeLessThan(1024);
  });

  it("is gone once released", async () => {
    const { emulator, guest } = started();
    await guest.resume();
    const refused = expect(guest.pause()).rejects.toMatchObject({ code: "argument" });
    await Promise.all([guest.release(), guest.release()]);
    await refused;
    await guest.release();
    expect(emulator.destroyed).toBe(true);
    expect(emulator.is_running()).toBe(false);
    expect(() => guest.readPages(0, new Uint8Array(4096))).toThrow(expect.objectContaining({ code: "argument" }));
    await expect(guest.resume()).rejects.toMatchObject({ code: "argument" });
  });

  it("stops when the emulator throws, and says so from then on", async () => {
    const { emulator, guest } = started();
    const cause = new Error("unreachable");
    emulator.program = () => {
      throw cause;
    };
    await guest.resume();
    const failure = await watchEmulator(emulator).failed;
    expect(failure).toMatchObject({ code: "guest-failed", cause });
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(emulator.is_running()).toBe(false);
    await expect(guest.pause()).rejects.toBe(failure);
    await expect(guest.resume()).rejects.toBe(failure);
    await expect(guest.saveState()).rejects.toBe(failure);
    await guest.release();
  });

  it("lets kernels work on its memory in place, also when that grows", () => {
    const { emulator, guest } = started();
    const { inPlace } = guest;
    if (inPlace === undefined) throw new Error("no memory in place");
    const ram = emulator.ram.slice();
    const scratch = inPlace.scratch(100_000);
    expect(scratch.byteLength).toBeGreaterThanOrEqual(100_000);
    expect(inPlace.scratch(5)).toEqual(scratch);
    expect(() => inPlace.scratch(scratch.byteLength + 1)).toThrow(expect.objectContaining({ code: "argument" }));
    const { arena, scan } = createKernelsSync({ inPlace: { memory: inPlace.memory, scratch } });
    const zeros = arena.allocateBitmap(FAKE_MEMORY_BYTES / 4096);
    for (const growth of [0, 1]) {
      emulator.memory.grow(growth);
      const pages = arena.spanOf(inPlace.view(0, FAKE_MEMORY_BYTES / 4096));
      expect(scan.zero(pages, 4096, zeros)).toBe(FAKE_MEMORY_BYTES / 4096 - 5);
    }
    expectSameBytes(emulator.ram, ram);
    expect(() => inPlace.view(1, FAKE_MEMORY_BYTES / 4096)).toThrow(expect.objectContaining({ code: "argument" }));
    expect(() => inPlace.view(1, -1)).toThrow(expect.objectContaining({ code: "argument" }));
  });

  it("offers no memory in place where the emulator does not show its own", () => {
    expect("inPlace" in new V86Guest(publicOnly(new FakeEmulator()), OPTIONS)).toBe(false);
  });
});
