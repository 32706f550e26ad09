import { describe, expect, it } from "vitest";
import { SerialConsole } from "../../../src/guest/v86/console.js";
import type { V86Emulator } from "../../../src/guest/v86/emulator.js";
import { V86Guest } from "../../../src/guest/v86/guest.js";
import { V86Host } from "../../../src/guest/v86/host.js";
import type { DemoGuest } from "../../../src/guest/v86/image.js";
import { createEmulator } from "../../../src/guest/v86/node.js";
import { createKernelsSync } from "../../../src/index.js";
import { expectSameBytes } from "../../support/bytes.js";
import { startedOrSkipped } from "../../support/demo-guest.js";
import { WAYS } from "./fake-emulator.js";

const PAGE_BYTES = 4096;
/** Pages that are copied between two turns of the event loop. */
const BATCH_PAGES = 256;
const WAIT_MS = 60_000;
/** A first run fetches the images and boots. */
const TEST_TIMEOUT_MS = 400_000;

/** What is printed from now on. */
function record(emulator: V86Emulator): { text: string } {
  const printed = { text: "" };
  emulator.add_listener("serial1-output-byte", (byte) => {
    printed.text += String.fromCharCode(byte);
  });
  return printed;
}

async function manifestOf({ commands }: Pick<DemoGuest, "commands">): Promise<string> {
  commands.writeLine("pf-manifest");
  const [, sum] = await commands.waitFor(/PF manifest (\w+)\n/, WAIT_MS);
  expect(sum).toMatch(/^[0-9a-f]{64}$/);
  return sum as string;
}

function countsIn(text: string): number[] {
  return Array.from(text.matchAll(/PF count (\d+)\n/g), ([, count]) => Number(count));
}

async function loaded(demo: DemoGuest): Promise<void> {
  for (const command of ["pf-counter", "pf-rewrite", "pf-scatter 500 50"]) demo.commands.writeLine(`${command} &`);
  await demo.commands.waitFor(/PF count 5\n/, WAIT_MS);
}

describe.each(WAYS)("Linux in v86, its state $name (skipped where its images cannot be had)", ({ way }) => {
  it("moves while it works", { timeout: TEST_TIMEOUT_MS }, async (context) => {
    const demo = await startedOrSkipped(context);
    const { shape, commands } = demo;
    const sum = await manifestOf(demo);
    const printed = record(demo.emulator);
    await loaded(demo);
    const guest = new V86Guest(way(demo.emulator), { name: "linux", shape });
    let arrived: V86Emulator | undefined;
    const host = new V86Host({
      version: shape.version,
      create: async (wanted) => {
        arrived = (await createEmulator(wanted)).emulator;
        return way(arrived);
      },
    });
    await host.prepare(guest.machine);

    const pageCount = shape.memoryBytes / PAGE_BYTES;
    const sent = new Uint8Array(shape.memoryBytes);
    for (let first = 0; first < pageCount; first += BATCH_PAGES) {
      const batch = sent.subarray(first * PAGE_BYTES, (first + BATCH_PAGES) * PAGE_BYTES);
      guest.readPages(first, batch);
      host.writePages(first, batch);
      await new Promise(setImmediate);
    }
    await commands.waitFor(/PF count \d+\n.*PF count \d+\n/s, WAIT_MS);

    await guest.pause();
    const page = new Uint8Array(PAGE_BYTES);
    let changedPages = 0;
    for (let number = 0; number < pageCount; number++) {
      guest.readPages(number, page);
      const before = sent.subarray(number * PAGE_BYTES, (number + 1) * PAGE_BYTES);
      if (Buffer.compare(page, before) === 0) continue;
      host.writePages(number, page);
      changedPages++;
    }
    expect(changedPages).toBeGreaterThan(50);
    const state = await guest.saveState();
    expect(state.length).toBeLessThan(4 << 20);
    await host.loadState(state);
    guest.readPages(0, sent);
    const received = new Uint8Array(shape.memoryBytes);
    host.readPages(0, received);
    expectSameBytes(received, sent);

    if (arrived === undefined) throw new Error("no emulator was made");
    const there = { commands: new SerialConsole(arrived, 1) };
    const printedThere = record(arrived);
    const printedHere = printed.text;
    await host.start();
    await there.commands.waitFor(/PF count \d*0\n/, WAIT_MS);
    expect(await manifestOf(there)).toBe(sum);
    const counts = countsIn(printedHere + printedThere.text);
    expect(counts).toEqual(counts.map((_, index) => index + 1));
    expect(counts.length).toBeGreaterThan(countsIn(printedHere).length);

    expect(printed.text).toBe(printedHere);
    guest.readPages(0, received);
    expectSameBytes(received, sent);
    await guest.release();
    await host.discard();
  });
});

describe("Linux in v86 (skipped where its images cannot be had)", () => {
  it("goes on after a pause, with kernels at work in its memory", { timeout: TEST_TIMEOUT_MS }, async (context) => {
    const demo = await startedOrSkipped(context);
    const { emulator, shape, commands } = demo;
    const printed = record(emulator);
    await loaded(demo);
    const guest = new V86Guest(emulator, { name: "linux", shape });
    const { inPlace } = guest;
    if (inPlace === undefined) throw new Error("v86 does not show its memory");
    const { arena, scan } = createKernelsSync({
      inPlace: { memory: inPlace.memory, scratch: inPlace.scratch(1 << 20) },
    });
    const pageCount = shape.memoryBytes / PAGE_BYTES;
    const zeros = arena.allocateBitmap(pageCount);
    await guest.pause();
    const zeroCount = scan.zero(arena.spanOf(inPlace.view(0, pageCount)), PAGE_BYTES, zeros);
    const zero = new Uint8Array(PAGE_BYTES);
    const pages = Array.from({ length: pageCount }, (_, number) => inPlace.view(number, 1));
    expect(zeroCount).toBe(pages.filter((page) => Buffer.compare(page, zero) === 0).length);
    await guest.saveState();
    await guest.resume();
    await commands.waitFor(/PF count \d*0\n/, WAIT_MS);
    await manifestOf(demo);
    const counts = countsIn(printed.text);
    expect(counts).toEqual(counts.map((_, index) => index + 1));
    await guest.release();
  });

  it("is refused with a state that v86 cannot take", { timeout: TEST_TIMEOUT_MS }, async (context) => {
    const { emulator, shape } = await startedOrSkipped(context);
    const guest = new V86Guest(emulator, { name: "linux", shape });
    await guest.pause();
    const state = await guest.saveState();
    await guest.release();
    const host = new V86Host({
      version: shape.version,
      create: async (wanted) => (await createEmulator(wanted)).emulator,
    });
    await host.prepare(guest.machine);
    // The registers are no longer a multiple of four bytes long.
    const text = Buffer.from(state)
      .toString("latin1")
      .replace(/"length":32\}/, '"length":31}');
    await expect(host.loadState(Buffer.from(text, "latin1"))).rejects.toMatchObject({ code: "state-malformed" });
    await host.discard();
  });
});
