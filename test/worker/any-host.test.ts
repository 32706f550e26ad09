import { describe, expect, it } from "vitest";
import { MemoryGuest } from "../../src/guest/memory/guest.js";
import { AnyHost } from "../../src/worker/any-host.js";
import { receiveMemory } from "../../src/worker/memory.js";
import { standingStill } from "../../src/worker/snapshots.js";
import { expectSameBytes } from "../support/bytes.js";

const PAGE_BYTES = 4096;

function guestOf(): MemoryGuest {
  return new MemoryGuest({ memoryBytes: 1 << 20, pagesPerSecond: 0 });
}

describe("a host of any kind of machine", () => {
  it("passes everything on to the host that it has chosen by the machine", async () => {
    const guest = guestOf();
    guest.content.advance(10);
    const asked: string[] = [];
    const host = new AnyHost(({ kind }) => {
      asked.push(kind);
      return receiveMemory();
    });
    await host.prepare(guest.machine);
    const page = new Uint8Array(PAGE_BYTES);
    for (let number = 0; number < guest.content.bytes.length / PAGE_BYTES; number++) {
      guest.readPages(number, page);
      host.writePages(number, page);
    }
    await guest.pause();
    await host.loadState(await guest.saveState());
    host.readPages(3, page);
    expectSameBytes(page, guest.content.bytes.subarray(3 * PAGE_BYTES, 4 * PAGE_BYTES));
    await host.start();
    const { content } = host.present().guest as MemoryGuest;
    expect(asked).toEqual(["memory"]);
    expect(content.isRunning).toBe(true);
    expect(content.steps).toBe(10);
    expectSameBytes(content.bytes, guest.content.bytes);
    await host.discard();
    expect(content.isRunning).toBe(false);
  });

  it("has nothing before it knows the machine, and can be discarded then", async () => {
    const host = new AnyHost(() => receiveMemory());
    const argument = expect.objectContaining({ code: "argument" });
    const page = new Uint8Array(PAGE_BYTES);
    for (const act of [
      () => host.present(),
      () => host.readPages(0, page),
      () => host.writePages(0, page),
      () => host.loadState(page),
      () => host.start(),
    ]) {
      expect(act).toThrow(argument);
    }
    await host.discard();
  });
});

describe("a guest that stands still already", () => {
  it("does so after it was copied, too", async () => {
    const guest = guestOf();
    await guest.pause();
    const still = standingStill(guest);
    await still.pause();
    await still.resume();
    expect(guest.content.isRunning).toBe(false);
    expect(still.machine).toBe(guest.machine);
    expectSameBytes(await still.saveState(), await guest.saveState());
    const page = new Uint8Array(PAGE_BYTES);
    still.readPages(7, page);
    expectSameBytes(page, guest.content.bytes.subarray(7 * PAGE_BYTES, 8 * PAGE_BYTES));
  });
});
