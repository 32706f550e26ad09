import { describe, expect, it } from "vitest";
import { SerialConsole } from "../../../src/guest/v86/console.js";
import { watchEmulator } from "../../../src/guest/v86/emulator.js";
import { FakeEmulator } from "./fake-emulator.js";

describe("serial console", () => {
  it("finds what is printed, before and after it is asked for, each once", async () => {
    const emulator = new FakeEmulator();
    const console = new SerialConsole(emulator);
    emulator.print("count 1\ncount 2\ncou");
    expect((await console.waitFor(/count (\d)\n/, 5000))[1]).toBe("1");
    expect((await console.waitFor(/count (\d)\n/, 5000))[1]).toBe("2");
    const third = console.waitFor(/count (\d)\n/, 5000);
    console.writeLine("nt 3");
    console.writeLine("count 4");
    expect((await third)[1]).toBe("3");
    expect((await console.waitFor(/count (\d)\n/, 5000))[1]).toBe("4");
    expect(console.text).toBe("");
    console.close();
    emulator.print("more");
    expect(console.text).toBe("");
  });

  it("gives up after its time, or when the machine fails", async () => {
    const emulator = new FakeEmulator();
    const console = new SerialConsole(emulator);
    await expect(console.waitFor(/never/, 1)).rejects.toMatchObject({ code: "guest-failed" });
    emulator.program = () => {
      throw new Error("unreachable");
    };
    watchEmulator(emulator);
    const waiting = console.waitFor(/never/, 60_000);
    await emulator.run();
    await expect(waiting).rejects.toThrow("failed and was stopped");
  });

  it("keeps the end of what nobody waits for", () => {
    const emulator = new FakeEmulator();
    const console = new SerialConsole(emulator);
    for (let line = 0; line < 20_000; line++) emulator.print(`a line of text ${line}\n`);
    expect(console.text.length).toBeLessThanOrEqual(2 * 65536);
    expect(console.text.endsWith("a line of text 19999\n")).toBe(true);
  });
});
