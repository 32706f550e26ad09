import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cached, defaultCacheFolder } from "../../../src/guest/debian/cache.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pageferry-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const entry = (build: () => Promise<{ a: Uint8Array; b: Uint8Array }>): Promise<{ a: Uint8Array; b: Uint8Array }> =>
  cached(folder, "entry-1", ["a", "b"], build);
const unexpected = async (): Promise<never> => expect.fail("the entry was made again");

describe("cache", () => {
  it("makes an entry once", async () => {
    const made = await entry(async () => ({ a: text("one"), b: text("two") }));
    const found = await entry(unexpected);
    for (const name of ["a", "b"] as const) expect(Buffer.compare(found[name], made[name])).toBe(0);
    expect(readdirSync(folder)).toEqual(["entry-1"]);
  });

  it.each([
    ["a file is damaged", () => writeFileSync(join(folder, "entry-1/b"), "twp")],
    ["a file is missing", () => rmSync(join(folder, "entry-1/b"))],
    ["the sums are missing", () => rmSync(join(folder, "entry-1/SHA256SUMS"))],
    ["the sums are cut off", () => writeFileSync(join(folder, "entry-1/SHA256SUMS"), "")],
  ])("makes an entry anew where %s", async (_, damage) => {
    await entry(async () => ({ a: text("one"), b: text("two") }));
    damage();
    await entry(async () => ({ a: text("three"), b: text("four") }));
    expect(Buffer.from((await entry(unexpected)).b).toString()).toBe("four");
    expect(readdirSync(folder)).toEqual(["entry-1"]);
  });

  it("leaves nothing where an entry cannot be made", async () => {
    const failure = new Error("offline");
    await expect(entry(() => Promise.reject(failure))).rejects.toBe(failure);
    await expect(entry(async () => ({ a: text("one"), b: undefined as never }))).rejects.toThrow();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("holds one of them, whole, where several make it at once", async () => {
    const makers = Array.from({ length: 8 }, (_, maker) =>
      entry(async () => ({ a: text(`one ${maker}`), b: text(`two ${maker}`) })),
    );
    await Promise.all(makers);
    const { a, b } = await entry(unexpected);
    expect(Buffer.from(b).toString().slice(4)).toBe(Buffer.from(a).toString().slice(4));
    expect(readdirSync(folder)).toEqual(["entry-1"]);
    expect(readFileSync(join(folder, "entry-1/SHA256SUMS"), "utf8")).toMatch(
      /^[0-9a-f]{64} {2}a\n[0-9a-f]{64} {2}b\n$/,
    );
  });

  it("lies where the user's caches lie", () => {
    const before = process.env["XDG_CACHE_HOME"];
    process.env["XDG_CACHE_HOME"] = "/caches";
    expect(defaultCacheFolder("qemu")).toBe("/caches/pageferry/qemu");
    process.env["XDG_CACHE_HOME"] = "";
    expect(defaultCacheFolder("v86")).toMatch(/\/\.cache\/pageferry\/v86$/);
    if (before === undefined) delete process.env["XDG_CACHE_HOME"];
    else process.env["XDG_CACHE_HOME"] = before;
  });
});
