import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CONSOLE_MAX_BYTES, ConsoleText, joinConsole, splitConsole } from "../../../src/guest/v86/console-state.js";
import type { V86Shape } from "../../../src/guest/v86/emulator.js";
import { V86Guest } from "../../../src/guest/v86/guest.js";
import { V86Host } from "../../../src/guest/v86/host.js";
import { concat, expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { FAKE_MEMORY_BYTES, FakeEmulator, WAYS } from "./fake-emulator.js";

const SHAPE: V86Shape = { version: "1.2.3", memoryBytes: FAKE_MEMORY_BYTES, vgaMemoryBytes: 2 << 20 };
const malformed = expect.objectContaining({ code: "state-malformed" });

function keep(text: ConsoleText, bytes: Iterable<number>): void {
  for (const byte of bytes) text.add(byte);
}

describe("the text of a console", () => {
  it("is the end of what was printed, whenever it is looked at", () => {
    const lengths = fc.array(fc.nat(CONSOLE_MAX_BYTES), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(lengths, fc.nat(), (pieces, seed) => {
        const text = new ConsoleText();
        const random = new Random(seed);
        let all = new Uint8Array(0);
        for (const length of pieces) {
          const piece = random.bytes(length);
          keep(text, piece);
          all = concat([all, piece]).slice(-CONSOLE_MAX_BYTES);
          expectSameBytes(text.bytes, all);
        }
      }),
      { numRuns: 15, seed: 5 },
    );
  });

  it.each([0, 1, CONSOLE_MAX_BYTES - 1, CONSOLE_MAX_BYTES, CONSOLE_MAX_BYTES + 1])(
    "is as long as it may be, %i bytes and twice that",
    (length) => {
      const text = new ConsoleText();
      for (const times of [1, 2]) {
        keep(
          text,
          Array.from({ length }, (_, at) => at % 251),
        );
        expect(text.bytes).toHaveLength(Math.min(times * length, CONSOLE_MAX_BYTES));
      }
      expect(text.bytes.at(-1)).toBe(length === 0 ? undefined : (length - 1) % 251);
    },
  );
});

describe("a state with the text of a console", () => {
  const text = fc.uint8Array({ maxLength: 300 });
  const state = fc.uint8Array({ maxLength: 300 });

  it("comes apart as it was put together, and the state stands where v86 can read words", () => {
    fc.assert(
      fc.property(text, state, fc.nat(20), (printed, saved, before) => {
        const joined = joinConsole(printed, saved);
        // It may stand anywhere in a larger buffer.
        const around = new Uint8Array(before + joined.length + 8).fill(0xff);
        around.set(joined, before);
        const parts = splitConsole(around.subarray(before, before + joined.length));
        expectSameBytes(parts.text, printed);
        expectSameBytes(parts.state, saved);
        expect((parts.state.byteOffset - before) % 4).toBe(0);
      }),
      { seed: 6 },
    );
  });

  it("stands in the bytes that are drawn", () => {
    const joined = joinConsole(Uint8Array.of(0x6c, 0x6f, 0x67, 0x69, 0x6e), Uint8Array.of(1, 2, 3));
    expect([...joined]).toEqual([5, 0, 0, 0, 0x6c, 0x6f, 0x67, 0x69, 0x6e, 0, 0, 0, 1, 2, 3]);
  });

  it("is refused where it is cut inside of the text", () => {
    const joined = joinConsole(new Random(1).bytes(41), new Random(2).bytes(10));
    for (let length = 0; length < joined.length; length++) {
      const cut = joined.subarray(0, length);
      if (length < 4 + 44) expect(() => splitConsole(cut), `${length} bytes`).toThrow(malformed);
      else expectSameBytes(splitConsole(cut).text, joined.subarray(4, 4 + 41));
    }
  });

  it("is refused where the text is longer than it may be, also where the bytes are there", () => {
    const joined = new Uint8Array(4 + 2 * CONSOLE_MAX_BYTES);
    const header = new DataView(joined.buffer);
    header.setUint32(0, CONSOLE_MAX_BYTES, true);
    expect(splitConsole(joined).text).toHaveLength(CONSOLE_MAX_BYTES);
    for (const length of [CONSOLE_MAX_BYTES + 1, 0x7fffffff, 0x80000000, 0xfffffffd, 0xffffffff]) {
      header.setUint32(0, length, true);
      expect(() => splitConsole(joined), `${length}`).toThrow(malformed);
    }
  });

  it("comes apart inside of itself or not at all, whatever it is", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(80), (bytes, claimed) => {
        if (bytes.length >= 4) new DataView(bytes.buffer).setUint32(0, claimed, true);
        const start = 4 + Math.ceil(claimed / 4) * 4;
        if (bytes.length < 4 || start > bytes.length) {
          expect(() => splitConsole(bytes)).toThrow(malformed);
          return;
        }
        expectSameBytes(splitConsole(bytes).text, bytes.subarray(4, 4 + claimed));
        expectSameBytes(splitConsole(bytes).state, bytes.subarray(start));
      }),
      { seed: 7 },
    );
  });
});

describe.each(WAYS)("a v86 machine whose console moves along, $name", ({ way }) => {
  /** A machine that has printed something, and where its text is to go. */
  async function arriving(
    printed: string,
  ): Promise<{ guest: V86Guest; host: V86Host; source: FakeEmulator; shown: Uint8Array[] }> {
    const source = new FakeEmulator();
    source.ram.set(new Random(1).memoryLike(FAKE_MEMORY_BYTES));
    source.registers.set(new Random(2).bytes(10));
    const text = new ConsoleText();
    keep(text, new TextEncoder().encode(printed));
    const guest = new V86Guest(way(source), { name: "demo", shape: SHAPE, consoleText: text });
    const shown: Uint8Array[] = [];
    const host = new V86Host({
      version: SHAPE.version,
      create: async () => way(new FakeEmulator()),
      onConsoleText: (bytes) => shown.push(bytes.slice()),
    });
    await host.prepare(guest.machine);
    return { guest, host, source, shown };
  }

  it("brings what it has printed, up to the moment when its state is saved", async () => {
    const { guest, host, source, shown } = await arriving("login: ");
    expect(guest.machine.configuration["hasConsole"]).toBe(true);
    await host.loadState(await guest.saveState());
    expect(shown.map((bytes) => new TextDecoder().decode(bytes))).toEqual(["login: "]);
    await host.start();
    await host.discard();
    await source.destroy();
  });

  it("is refused with a state that ends too soon, shows nothing, and never runs", async () => {
    const { guest, host, shown } = await arriving("login: ");
    const state = await guest.saveState();
    // The text is 7 bytes of 8, and then comes the state.
    for (const length of [0, 3, 4, 11, 12, 40]) {
      const another = new V86Host({
        version: SHAPE.version,
        create: async () => way(new FakeEmulator()),
        onConsoleText: (bytes) => shown.push(bytes),
      });
      await another.prepare(guest.machine);
      await expect(another.loadState(state.subarray(0, length)), `${length} bytes`).rejects.toThrow(malformed);
      await expect(another.start()).rejects.toMatchObject({ code: "argument" });
      await another.discard();
    }
    expect(shown).toEqual([]);
    await host.discard();
  });

  it("is refused where only one end believes that the text is there", async () => {
    const { guest, host, source } = await arriving("login: ");
    const plain = new V86Guest(way(source), { name: "demo", shape: SHAPE });
    expect(plain.machine.configuration["hasConsole"]).toBe(false);
    await expect(host.loadState(await plain.saveState())).rejects.toThrow(malformed);
    await host.discard();
    const without = new V86Host({ version: SHAPE.version, create: async () => way(new FakeEmulator()) });
    await without.prepare(plain.machine);
    await expect(without.loadState(await guest.saveState())).rejects.toThrow(malformed);
    await without.discard();
  });

  it("comes without a text where nobody wants to see it", async () => {
    const { guest, host } = await arriving("");
    await host.discard();
    const blind = new V86Host({ version: SHAPE.version, create: async () => way(new FakeEmulator()) });
    await blind.prepare(guest.machine);
    await blind.loadState(await guest.saveState());
    await blind.start();
    await blind.discard();
  });
});
