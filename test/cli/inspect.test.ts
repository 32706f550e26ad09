import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { projectFolder } from "../support/docs.js";
import { Lz4Wasm } from "../support/lz4-wasm.js";
import { Random } from "../support/random.js";

const command = `${projectFolder}dist/cli/main.js`;

describe("pageferry inspect", () => {
  const folder = mkdtempSync(join(tmpdir(), "pageferry-inspect-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  function inspect(image: Uint8Array): Record<string, number> {
    const path = join(folder, "image");
    writeFileSync(path, image);
    return JSON.parse(execFileSync(process.execPath, [command, "inspect", "--json", path], { encoding: "utf8" }));
  }

  it("counts the pages of an image over several windows", () => {
    // 2500 pages: zero, filled, the same content again and again, and content of their own.
    const image = new Uint8Array(2500 * 4096);
    const random = new Random(4);
    const content = random.bytes(4096);
    const counts = { zeroPages: 0, fillPages: 0, duplicatePages: 0 };
    for (let page = 0; page < 2500; page++) {
      const bytes = image.subarray(page * 4096, (page + 1) * 4096);
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
      if (kind === 3) new DataView(bytes.buffer, bytes.byteOffset).setUint32(8, page + 1);
    }
    const summary = inspect(image);
    // The first page of a content is no duplicate.
    counts.duplicatePages--;
    expect(summary).toMatchObject({ pages: 2500, ...counts });
    const lz4Wasm = new Lz4Wasm();
    let peerBytes = 0;
    for (let at = 0; at < image.length; at += 262144)
      peerBytes += lz4Wasm.compress(image.subarray(at, at + 262144)).length;
    expect(summary["lz4Bytes"] as number).toBeLessThan(peerBytes * 1.05);
    expect(summary["lz4Bytes"] as number).toBeGreaterThan(peerBytes * 0.8);
  });

  it("takes images that end inside a page, and empty ones", () => {
    expect(inspect(Uint8Array.of(1))).toMatchObject({ pages: 1, zeroPages: 0, duplicatePages: 0 });
    expect(inspect(new Uint8Array(0))).toMatchObject({ pages: 0, lz4Bytes: 0 });
  });

  it("says in one sentence what is wrong", () => {
    const { status, stderr } = spawnSync(process.execPath, [command, "inspect", join(folder, "nothing")], {
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^pageferry: .*nothing'\n$/);
  });
});
