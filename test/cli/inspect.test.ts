import { afterAll, describe, expect, it } from "vitest";
import type { ImageSummary } from "../../src/guest/file/summary.js";
import { ImageFolder, PAGE_BYTES } from "../guest/file/images.js";
import { Lz4Wasm } from "../support/lz4-wasm.js";
import { Random } from "../support/random.js";
import { pageferry, pageferryJson } from "./command.js";

const PAGES = 2500;

describe("pageferry inspect", () => {
  const folder = new ImageFolder();
  afterAll(() => folder.remove());

  function inspect(image: Uint8Array, ...words: string[]): ImageSummary {
    return pageferryJson("inspect", folder.write("image", image), ...words) as ImageSummary;
  }

  // Pages: zero, filled, the same content again and again, and content of their own.
  const image = new Uint8Array(PAGES * PAGE_BYTES);
  const random = new Random(4);
  const content = random.bytes(PAGE_BYTES);
  const counts = { zeroPages: 0, fillPages: 0, duplicatePages: 0 };
  for (let page = 0; page < PAGES; page++) {
    const bytes = image.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    const kind = random.below(4);
    if (kind === 0) counts.zeroPages++;
    if (kind === 1) {
      counts.fillPages++;
      bytes.fill((page % 255) + 1);
    }
    if (kind === 2) {
      counts.duplicatePages++;
      bytes.set(content);
    }
    if (kind === 3) {
      bytes.set(random.memoryLike(PAGE_BYTES));
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(8, page + 1);
    }
  }
  // The first page of a content is no duplicate.
  counts.duplicatePages--;
  const others = PAGES - counts.zeroPages - counts.fillPages;

  it("counts the pages of an image over several windows, and the bytes that would travel", async () => {
    const summary = inspect(image);
    expect(summary).toMatchObject({ byteLength: image.length, pages: PAGES, ...counts });
    const { plainBytes, encodedBytes } = summary;
    expect(plainBytes.none / (others * PAGE_BYTES)).toBeCloseTo(1, 2);
    expect(encodedBytes.none / ((others - counts.duplicatePages) * PAGE_BYTES)).toBeCloseTo(1, 2);
    const lz4Wasm = await Lz4Wasm.load();
    let peerBytes = 0;
    for (let at = 0; at < image.length; at += 1 << 20)
      peerBytes += lz4Wasm.compress(image.subarray(at, at + (1 << 20))).length;
    expect(plainBytes.lz4).toBeLessThan(peerBytes * 1.05);
    expect(plainBytes.lz4).toBeGreaterThan(peerBytes * 0.8);
    expect(encodedBytes.zstd).toBeLessThan(encodedBytes.lz4);
    expect(encodedBytes.lz4).toBeLessThan(encodedBytes.none);
    expect(summary.changed).toBeUndefined();
  });

  it("tells what changed since an older image", () => {
    const next = image.slice();
    // 30 pages change a little, one becomes zero.
    for (let page = 0; page < 30; page++) next.set(random.bytes(24), page * 80 * PAGE_BYTES + 500);
    next.fill(0, 2499 * PAGE_BYTES);
    const { changed } = inspect(next, "--against", folder.write("older", image));
    expect(changed).toMatchObject({ pages: 31, zeroPages: 1, fillPages: 0, duplicatePages: 0 });
    expect(changed?.plainBytes.none).toBeGreaterThan(30 * PAGE_BYTES);
    const same = inspect(image, "--against", folder.at("older")).changed;
    expect(same).toMatchObject({ pages: 0, encodedBytes: { none: 0, lz4: 0, zstd: 0 } });
  });

  it("takes images that end inside a page, and empty ones", () => {
    expect(inspect(Uint8Array.of(1))).toMatchObject({ pages: 1, zeroPages: 0, duplicatePages: 0 });
    expect(inspect(new Uint8Array(0))).toMatchObject({ pages: 0, encodedBytes: { none: 0, lz4: 0, zstd: 0 } });
  });

  it("prints tables for people", () => {
    const older = folder.write("older", image);
    const { status, stdout } = pageferry("inspect", folder.write("image", image), "--against", older);
    expect(status).toBe(0);
    expect(stdout).toContain("10.2 MB in pages of 4096 bytes");
    expect(stdout).toMatch(/all pages.*zero.*filled.*duplicate.*others/);
    expect(stdout).toMatch(/changed pages[\s\S]*with dedup and deltas/);
  });

  it("says in one sentence what is wrong", () => {
    const { status, stderr } = pageferry("inspect", folder.at("nothing"));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^pageferry: .*nothing cannot be read: no such file or directory\.\n$/);
  });
});
