import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { GuestError } from "../../../src/guest/errors.js";
import { applyPatch } from "../../../src/guest/file/apply.js";
import { diffImages } from "../../../src/guest/file/diff.js";
import { ImageFile } from "../../../src/guest/file/image.js";
import type { PatchHeader } from "../../../src/guest/file/patch.js";
import type { MemoryGuest } from "../../../src/guest/memory/guest.js";
import { MemoryHost } from "../../../src/guest/memory/host.js";
import { captureMachine } from "../../../src/guest/snapshot/capture.js";
import { memoryStorage } from "../../../src/guest/snapshot/memory-storage.js";
import { restoreMachine } from "../../../src/guest/snapshot/restore.js";
import type { SnapshotStorage } from "../../../src/guest/snapshot/storage.js";
import { type SavedSnapshot, SnapshotStore } from "../../../src/guest/snapshot/store.js";
import { V86Guest } from "../../../src/guest/v86/guest.js";
import { V86Host } from "../../../src/guest/v86/host.js";
import { loadChecksum } from "../../../src/wire/checksum.js";
import { encodeFrame } from "../../../src/wire/frame.js";
import { concat, expectSameBytes } from "../../support/bytes.js";
import { ImageFolder } from "../file/images.js";
import { FAKE_MEMORY_BYTES, FakeEmulator, WAYS } from "../v86/fake-emulator.js";
import { MEMORY_BYTES, machineOf, startMachine } from "./machines.js";

const folder = new ImageFolder();
const guests: MemoryGuest[] = [];
let storage: SnapshotStorage;
let store: SnapshotStore;

beforeEach(async () => {
  folder.empty();
  storage = memoryStorage();
  store = await SnapshotStore.open(storage);
});
afterAll(async () => {
  folder.remove();
  for (const guest of guests) await guest.release();
});

function start(memoryBytes?: number): MemoryGuest {
  const guest = startMachine(memoryBytes);
  guests.push(guest);
  return guest;
}

/** Three snapshots of one machine, with some steps between them, and its memory at each. */
async function threeSnapshots(): Promise<{
  readonly guest: MemoryGuest;
  readonly saved: readonly SavedSnapshot[];
  readonly memories: readonly Uint8Array[];
}> {
  const guest = start();
  const saved: SavedSnapshot[] = [];
  const memories: Uint8Array[] = [];
  for (const steps of [100, 10, 10]) {
    guest.content.advance(steps);
    memories.push(guest.content.bytes.slice());
    saved.push(await store.save(guest));
    expect(guest.content.isRunning).toBe(true);
  }
  return { guest, saved, memories };
}

async function expectRestored(id: string, memory: Uint8Array, steps: number, from = store): Promise<void> {
  const host = new MemoryHost();
  await from.restore(id, host);
  const machine = machineOf(host);
  expect(machine.isRunning).toBe(true);
  expect(machine.steps).toBe(steps);
  expectSameBytes(machine.bytes, memory);
  machine.advance(50);
  expect(machine.wrongPages()).toEqual([]);
  await host.discard();
}

describe("snapshots", () => {
  it("are restored, whichever it is, and each machine works on where it stood", async () => {
    const { saved, memories } = await threeSnapshots();
    const fresh = await SnapshotStore.open(storage);
    for (const [index, { id }] of saved.entries()) {
      const steps = 100 + index * 10;
      await expectRestored(id, memories[index] as Uint8Array, steps);
      await expectRestored(id, memories[index] as Uint8Array, steps, fresh);
    }
    for (const [index, { id }] of [...saved.entries()].reverse()) {
      await expectRestored(id, memories[index] as Uint8Array, 100 + index * 10, fresh);
    }
  });

  it("cost only what changed", async () => {
    const { guest, saved } = await threeSnapshots();
    const [first, ...others] = saved as [SavedSnapshot, ...SavedSnapshot[]];
    expect(first.storedBytes).toBeGreaterThan(MEMORY_BYTES / 10);
    // Ten writes of 64 bytes each, the counter, and the header.
    for (const { storedBytes } of others) expect(storedBytes).toBeLessThan(544 + 11 * 110);
    const [newest] = await store.list();
    expect(newest?.patch?.changedPages).toBeLessThanOrEqual(11);
    expect(await store.save(guest)).toMatchObject({ id: saved[2]?.id, storedBytes: 0 });
    expect(await store.list()).toHaveLength(3);
  });

  it("build on the newest one also where it is not in memory any more", async () => {
    const { guest, saved } = await threeSnapshots();
    const fresh = await SnapshotStore.open(storage);
    guest.content.advance(5);
    const { id, storedBytes } = await fresh.save(guest);
    expect(storedBytes).toBeLessThan(544 + 6 * 110);
    const { patch } = (await fresh.list()).find((snapshot) => snapshot.id === id) ?? {};
    expect(patch?.base.digest).toBe(saved[2]?.id);
  });

  it("stand for themselves where the one before is damaged", async () => {
    const { guest, saved } = await threeSnapshots();
    const fresh = await SnapshotStore.open(storage);
    const name = `${saved[0]?.id}.patch`;
    const bytes = await storage.read(name);
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    await storage.write(name, bytes);
    guest.content.advance(1);
    const { id } = await fresh.save(guest);
    await expectRestored(id, guest.content.bytes.slice(), 121, await SnapshotStore.open(storage));
  });

  it("are not removed while others build on them", async () => {
    const { saved } = await threeSnapshots();
    const [first, second, third] = saved.map(({ id }) => id) as [string, string, string];
    await expect(store.remove(first)).rejects.toMatchObject({ code: "snapshot-in-use" });
    for (const id of [third, second, first]) await store.remove(id);
    expect(await store.list()).toEqual([]);
    await expect(store.restore(first, new MemoryHost())).rejects.toMatchObject({ code: "snapshot-missing" });
  });

  it("are exported whole and imported elsewhere", async () => {
    const { saved, memories } = await threeSnapshots();
    const exported = await store.export(saved[2]?.id as string);
    const elsewhere = await SnapshotStore.open(memoryStorage());
    expect(await elsewhere.import(exported)).toBe(saved[2]?.id);
    expect(await elsewhere.import(exported)).toBe(saved[2]?.id);
    await expectRestored(saved[2]?.id as string, memories[2] as Uint8Array, 120, elsewhere);
  });

  it("are imported only onto what they build on", async () => {
    const { saved, memories } = await threeSnapshots();
    const elsewhere = await SnapshotStore.open(memoryStorage());
    const files = await Promise.all(saved.map(({ id }) => storage.read(`${id}.patch`)));
    const [first, second, third] = files as [Uint8Array, Uint8Array, Uint8Array];
    await expect(elsewhere.import(second)).rejects.toMatchObject({ code: "snapshot-base" });
    await elsewhere.import(first);
    await expect(elsewhere.import(third)).rejects.toMatchObject({ code: "snapshot-base" });
    await elsewhere.import(second);
    await elsewhere.import(third);
    await expectRestored(saved[2]?.id as string, memories[2] as Uint8Array, 120, elsewhere);
  });

  it("stay what they are in memory when another one is made of them", async () => {
    const { saved, memories } = await threeSnapshots();
    const [first, second] = saved.map(({ id }) => id) as [string, string];
    const patch = await storage.read(`${second}.patch`);
    await expectRestored(first, memories[0] as Uint8Array, 100);
    await store.import(patch);
    await expectRestored(first, memories[0] as Uint8Array, 100);
  });

  it("of machines that are too large are neither saved nor restored nor imported", async () => {
    const { guest, saved } = await threeSnapshots();
    const small = await SnapshotStore.open(storage, { maxImageBytes: MEMORY_BYTES });
    const host = new MemoryHost();
    const tooLarge = { code: "snapshot-too-large" };
    await expect(small.save(guest)).rejects.toMatchObject(tooLarge);
    await expect(small.restore(saved[0]?.id as string, host)).rejects.toMatchObject(tooLarge);
    await expect(small.import(await store.export(saved[0]?.id as string))).rejects.toMatchObject(tooLarge);
    expect(host.content).toBeUndefined();
    expect(guest.content.isRunning).toBe(true);
  });
});

describe("files that were forged, with checksums that are right", () => {
  async function forge(patch: Uint8Array, change: (header: PatchHeader) => object): Promise<Uint8Array> {
    const header = JSON.parse(new TextDecoder().decode(patch.subarray(32, 544)));
    const body = new TextEncoder().encode(JSON.stringify({ ...header, ...change(header) }).padEnd(512));
    return concat([patch.subarray(0, 16), encodeFrame(await loadChecksum(), 1, 0, body), patch.subarray(544)]);
  }

  it("are refused where they do not make what they promise, or something too large", async () => {
    const { saved } = await threeSnapshots();
    const patch = await store.export(saved[2]?.id as string);
    const elsewhere = await SnapshotStore.open(memoryStorage());
    const digest = "0".repeat(64);
    for (const [change, code] of [
      [({ next }: PatchHeader) => ({ next: { ...next, digest } }), "snapshot-malformed"],
      [({ next }: PatchHeader) => ({ next: { ...next, byteLength: next.byteLength + 4096 } }), "snapshot-malformed"],
      [({ next }: PatchHeader) => ({ next: { ...next, byteLength: 2 ** 40 } }), "snapshot-too-large"],
      [({ base }: PatchHeader) => ({ base: { ...base, digest } }), "snapshot-base"],
    ] as const) {
      await expect(elsewhere.import(await forge(patch, change))).rejects.toMatchObject({ code });
    }
    expect(await elsewhere.list()).toEqual([]);
    await elsewhere.import(await forge(patch, () => ({})));
  });

  it("are refused where they hold no machine", async () => {
    folder.write("empty", new Uint8Array(0));
    folder.write("text", new TextEncoder().encode("no machine"));
    await diffImages(folder.at("empty"), folder.at("text"), folder.at("patch"));
    await expect(store.import(folder.read("patch"))).rejects.toMatchObject({ code: "snapshot-malformed" });
  });

  it("stand in the list where they are damaged, and can be removed", async () => {
    const { guest, saved } = await threeSnapshots();
    const name = `${saved[2]?.id}.patch`;
    await storage.write(name, (await storage.read(name)).subarray(0, 100));
    const fresh = await SnapshotStore.open(storage);
    const damaged = (await fresh.list()).filter(({ patch }) => patch === undefined);
    expect(damaged.map(({ id }) => id)).toEqual([saved[2]?.id]);
    const restored = fresh.restore(saved[2]?.id as string, new MemoryHost());
    await expect(restored).rejects.toMatchObject({ code: "snapshot-malformed" });
    await fresh.remove(saved[2]?.id as string);
    expect((await fresh.save(guest)).id).toBe(saved[2]?.id);
  });
});

describe("storage that is full or fails at any write", () => {
  it("leaves earlier snapshots and the machine as they are", async () => {
    let failAt = Number.POSITIVE_INFINITY;
    let writes = 0;
    const failing: SnapshotStorage = {
      ...storage,
      async write(name, bytes) {
        writes += 1;
        if (writes === failAt) throw new GuestError("storage-full", "full");
        await storage.write(name, bytes);
      },
    };
    for (failAt = 1; failAt <= 4; failAt++) {
      for (const { id } of await store.list()) await storage.remove(`${id}.patch`);
      writes = 0;
      const saving = await SnapshotStore.open(failing);
      const guest = start();
      const kept: [string, Uint8Array, number][] = [];
      for (let round = 1; round <= 4; round++) {
        guest.content.advance(3);
        const saved = saving.save(guest);
        if (round === failAt) await expect(saved).rejects.toMatchObject({ code: "storage-full" });
        else kept.push([(await saved).id, guest.content.bytes.slice(), 3 * round]);
        expect(guest.content.isRunning).toBe(true);
      }
      expect(await saving.list()).toHaveLength(3);
      for (const [id, memory, steps] of kept) {
        await expectRestored(id, memory, steps, await SnapshotStore.open(storage));
      }
    }
  });
});

describe("a machine goes on whatever fails", () => {
  it("when its state cannot be saved", async () => {
    const guest = start();
    guest.saveState = async () => {
      throw new GuestError("guest-failed", "no state");
    };
    await expect(store.save(guest)).rejects.toMatchObject({ code: "guest-failed" });
    expect(guest.content.isRunning).toBe(true);
    expect(await store.list()).toEqual([]);
  });

  it("and a host that fails at any step is discarded", async () => {
    const { saved } = await threeSnapshots();
    for (const step of ["prepare", "writePages", "loadState", "start"] as const) {
      const host = new MemoryHost();
      let discards = 0;
      host[step] = () => {
        throw new Error("broken");
      };
      host.discard = async () => {
        discards += 1;
      };
      await expect(store.restore(saved[1]?.id as string, host)).rejects.toMatchObject({ code: "guest-failed" });
      expect(discards, step).toBe(1);
    }
  });
});

describe("files are the same as those of diff and apply", () => {
  it("apply makes images of snapshots, and an image can be started", async () => {
    const { saved, memories } = await threeSnapshots();
    folder.write("image", new Uint8Array(0));
    for (const { id } of saved) {
      const patch = folder.write("patch", await storage.read(`${id}.patch`));
      await applyPatch(folder.at("image"), patch, folder.at("image"), { overwrite: true });
    }
    const image = ImageFile.open(folder.at("image"));
    const host = new MemoryHost();
    await restoreMachine(image, host);
    image.close();
    expectSameBytes(machineOf(host).bytes, memories[2] as Uint8Array);
    await host.discard();
  });

  it("a store takes what diff has made of images", async () => {
    const guest = start();
    folder.write("image0", new Uint8Array(0));
    for (const round of [1, 2]) {
      guest.content.advance(20);
      folder.write(`image${round}`, (await captureMachine(guest, 64 << 20)).image.bytes);
      await diffImages(folder.at(`image${round - 1}`), folder.at(`image${round}`), folder.at(`patch${round}`));
    }
    await store.import(folder.read("patch1"));
    const id = await store.import(folder.read("patch2"));
    await expectRestored(id, guest.content.bytes.slice(), 40);
  });
});

describe.each(WAYS)("a machine of v86, $name", ({ way }) => {
  it("is saved twice and restored", async () => {
    const emulator = new FakeEmulator();
    const shape = { version: "0", memoryBytes: FAKE_MEMORY_BYTES, vgaMemoryBytes: 1 << 17 };
    const guest = new V86Guest(way(emulator), { name: "v86", shape });
    emulator.program = () => {
      emulator.ram[70_000] = ((emulator.ram[70_000] as number) + 1) & 0xff;
    };
    emulator.ram.fill(7, 0, 300_000);
    await emulator.run();
    const first = await store.save(guest);
    expect(emulator.is_running()).toBe(true);
    emulator.registers[3] = 9;
    const second = await store.save(guest);
    expect(second.storedBytes).toBeLessThan(1500);
    await guest.pause();
    for (const [{ id }, register] of [
      [first, 0],
      [second, 9],
    ] as const) {
      const arrived = new FakeEmulator();
      const host = new V86Host({ version: "0", create: async () => way(arrived) });
      await store.restore(id, host);
      expect(arrived.is_running()).toBe(true);
      expect(arrived.registers[3]).toBe(register);
      expectSameBytes(arrived.ram.subarray(0, 70_000), emulator.ram.subarray(0, 70_000));
      await host.discard();
    }
    const other = new V86Host({ version: "1", create: async () => way(new FakeEmulator()) });
    await expect(store.restore(first.id, other)).rejects.toMatchObject({ code: "machine-unfit" });
    await guest.release();
  });
});
