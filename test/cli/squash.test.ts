import { afterAll, describe, expect, it } from "vitest";
import { chainOf, hotImages } from "../guest/file/chain/chains.js";
import { ImageFolder, PAGE_BYTES } from "../guest/file/images.js";
import { Random } from "../support/random.js";
import { pageferry, pageferryJson } from "./command.js";

describe("pageferry squash, and inspect with patches", () => {
  const folder = new ImageFolder();
  afterAll(() => folder.remove());

  it("make one patch of several, and tell what they hold", async () => {
    const { basePath, patchPaths, images } = await chainOf(folder, hotImages(new Random(4), 40, 5, [5, 6]));
    const summary = pageferryJson("inspect", basePath, ...patchPaths, "--most-reads", "3");
    expect(summary).toMatchObject({
      byteLength: 40 * PAGE_BYTES,
      pagesBeyond: 2,
      pagesByReads: [0, 38, 0, 0, 0, 0, 2],
    });
    const { stdout } = pageferry("inspect", basePath, ...patchPaths);
    expect(stdout).toMatch(/changed pages.*still alive/);
    expect(stdout).toContain("2 pages take more than 4 reads");

    const squashed = pageferry("squash", basePath, ...patchPaths, "-o", folder.at("one"));
    expect(squashed.stdout).toMatch(/instead of 5 patches\nIt makes 164 kB, verified \([0-9a-f]{64}\)\n$/);
    pageferry("apply", basePath, folder.at("one"), "-o", folder.at("made"), "--force");
    expect(Buffer.compare(folder.read("made"), images.at(-1) as Uint8Array)).toBe(0);
    expect(pageferryJson("squash", basePath, ...patchPaths, "-o", folder.at("one"), "--force")).toMatchObject({
      changedPages: 2,
    });
  });

  it("say in one sentence what is wrong", async () => {
    const { basePath, patchPaths } = await chainOf(folder, hotImages(new Random(4), 20, 2, [5]));
    const [first, second] = patchPaths as [string, string];
    for (const command of ["squash", "inspect"]) {
      const output = command === "squash" ? ["-o", folder.at("two")] : [];
      const { status, stderr } = pageferry(command, basePath, second, first, ...output);
      expect(status).toBe(1);
      expect(stderr).toMatch(/^pageferry: Patch 2 of 2 .* does not build on the one before it .*\n$/);
    }
    expect(pageferry("inspect", basePath, first, "--against", basePath).status).toBe(2);
    expect(pageferry("inspect", basePath, first, "--most-reads", "0").status).toBe(2);
  });
});
