import { describe, expect, it } from "vitest";
import { GuestError } from "../../../src/guest/errors.js";
import { loadState, removeMemory, saveState } from "../../../src/guest/v86/state.js";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import {
  buffer,
  FAKE_MEMORY_BYTES,
  FakeEmulator,
  packState,
  type StateChanges,
  slotsOf,
  WAYS,
} from "./fake-emulator.js";

const PAGES = FAKE_MEMORY_BYTES / 4096;
const REGISTERS = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);

function emulatorWithMemory(seed: number): FakeEmulator {
  const emulator = new FakeEmulator();
  const random = new Random(seed);
  for (let page = 0; page < PAGES; page += 3) emulator.ram.set(random.bytes(4096), page * 4096);
  return emulator;
}

/** A state without memory, made by hand. */
function stateOf(slots = slotsOf(FAKE_MEMORY_BYTES, 1, 2), changes: StateChanges = {}): Uint8Array {
  return packState(slots, [REGISTERS, new Uint8Array(0), new Uint8Array(PAGES / 8), Uint8Array.of(9)], changes);
}

const expectMalformed = async (state: Uint8Array): Promise<void> => {
  await expect(loadState(new FakeEmulator(), state, FAKE_MEMORY_BYTES)).rejects.toMatchObject({
    name: "GuestError",
    code: "state-malformed",
  });
};

describe.each(WAYS)("a v86 state $name", ({ way }) => {
  it("has no memory and loads into a machine whose memory stays as it is", async () => {
    const source = emulatorWithMemory(1);
    source.registers.set(REGISTERS);
    const memory = source.ram.slice();
    const state = await saveState(way(source), FAKE_MEMORY_BYTES);
    expect(state.length).toBeLessThan(1024);
    expectSameBytes(source.ram, memory);

    const destination = emulatorWithMemory(2);
    const arrived = destination.ram.slice();
    await loadState(way(destination), state, FAKE_MEMORY_BYTES);
    expectSameBytes(destination.ram, arrived);
    expectSameBytes(destination.registers, REGISTERS);
  });

  it("saves and loads memory again afterwards, as v86 does by itself", async () => {
    const source = emulatorWithMemory(3);
    const memory = source.ram.slice();
    await saveState(way(source), FAKE_MEMORY_BYTES);
    const whole = await source.save_state();
    source.ram.fill(1);
    await loadState(way(source), stateOf(), FAKE_MEMORY_BYTES);
    await source.restore_state(whole);
    expectSameBytes(source.ram, memory);
  });
});

describe("a v86 state", () => {
  it("is the same bytes, saved either way", async () => {
    const states = await Promise.all(WAYS.map(({ way }) => saveState(way(emulatorWithMemory(4)), FAKE_MEMORY_BYTES)));
    const loaded = states.map(async (state) => {
      const emulator = new FakeEmulator();
      await emulator.restore_state(state.slice().buffer as ArrayBuffer);
      return emulator;
    });
    for (const emulator of await Promise.all(loaded)) expect(emulator.ram.every((byte) => byte === 0)).toBe(true);
    expectSameBytes(states[1] as Uint8Array, states[0] as Uint8Array);
  });

  it("keeps the buffers round the memory when that is taken out", () => {
    const bitmap = new Uint8Array(PAGES / 8);
    bitmap[3] = 0b101;
    const [before, after] = [new Random(5).bytes(13), new Random(6).bytes(7)];
    const slots = slotsOf(FAKE_MEMORY_BYTES, 2, 0);
    slots[1] = buffer(1);
    slots[2] = buffer(3);
    const whole = packState(slots, [bitmap, before, new Random(7).bytes(2 * 4096), after]);
    const stripped = removeMemory(whole, FAKE_MEMORY_BYTES);
    expectSameBytes(stripped, packState(slots, [new Uint8Array(PAGES / 8), before, new Uint8Array(0), after]));
  });

  it("is put back into place when v86 throws", async () => {
    const emulator = new FakeEmulator();
    const { cpu } = emulator.v86;
    const [pack, unpack] = [cpu.pack_memory, cpu.unpack_memory];
    emulator.save_state = () => {
      throw new Error("not now");
    };
    emulator.restore_state = async () => {
      throw new Error("not now");
    };
    await expect(saveState(emulator, FAKE_MEMORY_BYTES)).rejects.toThrow("not now");
    await expect(loadState(emulator, stateOf(), FAKE_MEMORY_BYTES)).rejects.toMatchObject({ code: "state-malformed" });
    expect([cpu.pack_memory, cpu.unpack_memory]).toEqual([pack, unpack]);
  });

  it("is refused where it is malformed", async () => {
    const valid = stateOf();
    await loadState(new FakeEmulator(), valid, FAKE_MEMORY_BYTES);
    const jsonBytes = new Uint32Array(valid.buffer, 12, 1)[0] as number;
    const size = valid.length;
    await expectMalformed(new Uint8Array(0));
    await expectMalformed(valid.subarray(0, 15));
    await expectMalformed(valid.subarray(0, size - 1));
    for (const header of [
      [0x86768677, 6, size, jsonBytes],
      [0xfd2fb528, 6, size, jsonBytes],
      [0x86768676, 7, size, jsonBytes],
      [0x86768676, 6, size + 4, jsonBytes],
      [0x86768676, 6, size, 0xffff_ffff],
      [0x86768676, 6, size, size],
      [0x86768676, 6, size, 0],
      [0x86768676, 6, size, jsonBytes - 1],
    ]) {
      await expectMalformed(stateOf(undefined, { header }));
    }
    for (const json of ["", "null", "[]", "{}", '{"buffer_infos":[]}', '{"state":[],"buffer_infos":{}}']) {
      await expectMalformed(stateOf(undefined, { json }));
    }
  });

  it("is refused where a buffer lies outside, overlaps or is not aligned", async () => {
    const bitmap = { offset: 12, length: PAGES / 8 };
    const rest = { offset: 44, length: 1 };
    const good = [{ offset: 0, length: 10 }, { offset: 12, length: 0 }, bitmap, rest];
    await loadState(new FakeEmulator(), stateOf(undefined, { infos: good }), FAKE_MEMORY_BYTES);
    for (const bad of [
      null,
      {},
      { offset: 45, length: 1 },
      { offset: 44, length: 99 },
      { offset: 2 ** 52, length: 2 ** 52 },
      { offset: 44, length: -1 },
      { offset: -4, length: 1 },
      { offset: 0, length: 1 },
      { offset: 44, length: "1" },
      { offset: 44, length: 0.5 },
    ]) {
      await expectMalformed(stateOf(undefined, { infos: [...good.slice(0, 3), bad] }));
    }
  });

  it("is refused where it would make v86 allocate, or names what is not there", async () => {
    for (const part of [
      { __state_type__: "Uint8Array", args: 2 ** 32 },
      { __state_type__: "Uint8Array", buffer_id: 0, args: 5 },
      { __state_type__: "Uint8Array", buffer_id: 4 },
      { __state_type__: "Uint8Array", buffer_id: -1 },
      { __state_type__: "Uint8Array", buffer_id: "length" },
      { __state_type__: "Uint8Array" },
      { __state_type__: "constructor", buffer_id: 0 },
      { __state_type__: "Map", args: 7 },
      { __state_type__: "Map", args: [[1, { __state_type__: "Uint8Array", args: 2 ** 32 }]] },
      { length: 5 },
      JSON.parse(`${"[".repeat(100)}${"]".repeat(100)}`),
    ]) {
      const slots = slotsOf(FAKE_MEMORY_BYTES, 1, 2);
      slots[90] = [part];
      await expectMalformed(stateOf(slots));
    }
    const nested = `${"[".repeat(1 << 20)}${"]".repeat(1 << 20)}`;
    await expectMalformed(stateOf(undefined, { json: `{"buffer_infos":[],"state":${nested}}` }));
  });

  it("is refused where its memory is not what it should be", async () => {
    const withSlot = (slot: number, value: unknown): unknown[] => {
      const slots = slotsOf(FAKE_MEMORY_BYTES, 1, 2);
      slots[slot] = value;
      return slots;
    };
    await expectMalformed(stateOf(withSlot(0, 2 * FAKE_MEMORY_BYTES)));
    await expectMalformed(stateOf(withSlot(77, null)));
    await expectMalformed(stateOf(withSlot(77, buffer(2))));
    await expectMalformed(stateOf(withSlot(78, buffer(1))));
    await expectMalformed(stateOf(withSlot(78, buffer(3))));
    await expectMalformed(stateOf(withSlot(78, buffer(2, "Int8Array"))));
    await expectMalformed(stateOf(slotsOf(FAKE_MEMORY_BYTES, 1, 2).slice(0, 78)));
    for (const length of [0, PAGES / 8 - 4, PAGES / 8 + 4]) {
      await expectMalformed(
        packState(slotsOf(FAKE_MEMORY_BYTES, 1, 2), [REGISTERS, new Uint8Array(0), new Uint8Array(length)]),
      );
    }
    const bitmap = new Uint8Array(PAGES / 8);
    bitmap[0] = 1;
    const page = new Uint8Array(4096);
    await expectMalformed(packState(slotsOf(FAKE_MEMORY_BYTES, 1, 2), [REGISTERS, new Uint8Array(0), bitmap]));
    await expectMalformed(packState(slotsOf(FAKE_MEMORY_BYTES, 1, 2), [REGISTERS, page, bitmap]));
  });

  it("mutated at random, is refused or loads, and never does anything else", async () => {
    const random = new Random(8);
    let refused = 0;
    for (let round = 0; round < 3000; round++) {
      const emulator = new FakeEmulator(FAKE_MEMORY_BYTES);
      try {
        await loadState(emulator, random.mutate(stateOf()), FAKE_MEMORY_BYTES);
      } catch (error) {
        expect(error).toBeInstanceOf(GuestError);
        expect((error as GuestError).code).toBe("state-malformed");
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(2000);
  });
});
