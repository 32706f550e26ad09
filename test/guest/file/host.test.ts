import { appendFileSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { FileGuest } from "../../../src/guest/file/guest.js";
import { FileHost, type FileHostOptions } from "../../../src/guest/file/host.js";
import type { Machine } from "../../../src/guest/guest.js";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { ImageFolder, PAGE_BYTES } from "./images.js";

const folder = new ImageFolder();
const random = new Random(11);
beforeEach(() => folder.empty());
afterAll(() => folder.remove());

const machine = (byteLength: number, change: Partial<Machine> = {}): Machine => ({
  name: "image",
  kind: "file",
  pageBytes: PAGE_BYTES,
  regions: [{ name: "image", byteLength }],
  configuration: {},
  ...change,
});

async function prepared(byteLength: number, options: Partial<FileHostOptions> = {}): Promise<FileHost> {
  const host = new FileHost({ path: folder.at("image"), ...options });
  await host.prepare(machine(byteLength));
  return host;
}

describe("FileHost", () => {
  it("keeps the exact length, and nothing of what stands behind it in the last page", async () => {
    const page = random.bytes(PAGE_BYTES);
    for (const byteLength of [0, 1, 4095, 4096, 4097, 10_000]) {
      const host = await prepared(byteLength, { overwrite: true });
      const pages = Math.ceil(byteLength / PAGE_BYTES);
      for (let number = 0; number < pages; number++) host.writePages(number, page);
      const last = new Uint8Array(PAGE_BYTES).fill(0xee);
      if (pages > 0) {
        host.readPages(pages - 1, last);
        const expected = page.slice().fill(0, byteLength - (pages - 1) * PAGE_BYTES);
        expectSameBytes(last, expected);
      }
      await host.start();
      expect(folder.read("image").length).toBe(byteLength);
      expect(folder.names()).toEqual(["image"]);
    }
  });

  it("leaves zero pages holes, and clears pages that held something", async () => {
    const host = await prepared(4 << 20);
    host.writePages(0, new Uint8Array(4 << 20));
    host.writePages(100, random.bytes(2 * PAGE_BYTES));
    host.writePages(99, new Uint8Array(2 * PAGE_BYTES));
    await host.start();
    expect(folder.diskBytes("image")).toBeLessThanOrEqual(4 * PAGE_BYTES);
    expect(folder.read("image").findIndex((byte) => byte !== 0)).toBeGreaterThanOrEqual(101 * PAGE_BYTES);
  });

  it("begins with the older image, as far as it goes, and leaves that as it is", async () => {
    const older = random.bytes(100_000);
    folder.write("older", older);
    for (const byteLength of [50_001, 100_000, 150_001]) {
      const host = await prepared(byteLength, { basePath: folder.at("older"), overwrite: true });
      expect(host.hasBase).toBe(true);
      await host.start();
      const expected = new Uint8Array(byteLength);
      expected.set(older.subarray(0, byteLength));
      expectSameBytes(folder.read("image"), expected);
    }
    expectSameBytes(folder.read("older"), older);
  });

  it("is seen only when it starts, and by its owner alone", async () => {
    const host = await prepared(5000);
    expect(folder.names()).toEqual([expect.stringMatching(/^\.image\.pageferry-[0-9a-f]{12}$/)]);
    await host.start();
    expect(folder.names()).toEqual(["image"]);
    expect(statSync(folder.at("image")).mode & 0o777).toBe(0o600);
    await host.discard();
    expect(folder.names()).toEqual(["image"]);
  });

  it("leaves nothing when it is discarded, however often", async () => {
    folder.write("older", random.bytes(3 << 20));
    const host = await prepared(5000);
    await host.discard();
    await host.discard();
    expect(() => host.writePages(0, new Uint8Array(PAGE_BYTES))).toThrow(/discarded/);
    await expect(host.start()).rejects.toThrow(/discarded/);
    const copying = new FileHost({ path: folder.at("image"), basePath: folder.at("older") });
    const copied = copying.prepare(machine(3 << 20));
    await copying.discard();
    await expect(copied).rejects.toThrow(/discarded/);
    expect(folder.names()).toEqual(["older"]);
  });

  it("takes the place of no file, whether it was there before or came meanwhile", async () => {
    const mine = Uint8Array.of(1, 2, 3);
    folder.write("image", mine);
    await expect(prepared(5000)).rejects.toThrow(/exists already/);
    folder.empty();
    const host = await prepared(5000);
    folder.write("image", mine);
    await expect(host.start()).rejects.toThrow(/exists already/);
    await host.discard();
    expectSameBytes(folder.read("image"), mine);
    expect(folder.names()).toEqual(["image"]);
    symlinkSync("nowhere", folder.at("link"));
    await expect(prepared(5000, { path: folder.at("link"), overwrite: true })).rejects.toThrow(/not a regular file/);
  });

  it("refuses other machines, states, and what it cannot make room for", async () => {
    const unfit = [
      machine(4096, { kind: "memory" }),
      machine(4096, { regions: [] }),
      machine(4096, { regions: [...machine(4096).regions, ...machine(4096).regions] }),
    ];
    for (const other of unfit) {
      const preparing = new FileHost({ path: folder.at("image") }).prepare(other);
      await expect(preparing).rejects.toMatchObject({ code: "machine-unfit" });
    }
    await expect(prepared(Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ code: "image" });
    await expect(prepared(1, { path: folder.at("no/image") })).rejects.toMatchObject({ code: "image" });
    const missing = new FileHost({ path: folder.at("image"), basePath: folder.at("none") });
    await expect(missing.prepare(machine(1))).rejects.toMatchObject({ code: "image" });
    await missing.discard();
    expect(() => new FileHost({ path: folder.at("image") }).readPages(0, new Uint8Array(1))).toThrow(
      /not been prepared/,
    );
    const host = await prepared(1);
    await expect(host.loadState(Uint8Array.of(1))).rejects.toMatchObject({ code: "state-malformed" });
    await host.loadState(new Uint8Array(0));
    await host.discard();
    expect(folder.names()).toEqual([]);
  });
});

describe("FileGuest", () => {
  it("is the file, its last page filled up with zeros", async () => {
    const image = random.bytes(10_000);
    const guest = new FileGuest(folder.write("guest.raw", image));
    expect(guest.machine).toEqual(machine(10_000, { name: "guest.raw" }));
    const pages = new Uint8Array(3 * PAGE_BYTES).fill(0xee);
    guest.readPages(0, pages);
    expectSameBytes(pages.subarray(0, 10_000), image);
    expectSameBytes(pages.subarray(10_000), new Uint8Array(3 * PAGE_BYTES - 10_000));
    guest.readPages(1, pages.subarray(0, PAGE_BYTES));
    expectSameBytes(pages.subarray(0, PAGE_BYTES), image.subarray(PAGE_BYTES, 2 * PAGE_BYTES));
    await guest.pause();
    expect(await guest.saveState()).toHaveLength(0);
    await guest.release();
    await guest.release();
  });

  it("has all pages dirty once", async () => {
    const guest = new FileGuest(folder.write("guest.raw", random.bytes(10_000)));
    const bitmap = new Uint8Array(8);
    guest.takeDirtyPages(bitmap);
    expect((bitmap[0] as number) & 7).toBe(7);
    guest.takeDirtyPages(bitmap);
    expect(bitmap.every((byte) => byte === 0)).toBe(true);
    await guest.release();
  });

  it("notices a change of the file's length and of its time", async () => {
    for (const change of [
      (path: string): void => appendFileSync(path, "x"),
      (path: string): void => utimesSync(path, 1, 1),
    ]) {
      const path = folder.write("guest.raw", random.bytes(10_000));
      const guest = new FileGuest(path);
      change(path);
      expect(() => guest.readPages(0, new Uint8Array(PAGE_BYTES))).toThrow(/changed while it was read/);
      await expect(guest.pause()).rejects.toMatchObject({ code: "image" });
      await expect(guest.saveState()).rejects.toMatchObject({ code: "image" });
      await guest.release();
    }
  });
});
