import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyPatch } from "../../../src/guest/file/apply.js";
import { diffImages } from "../../../src/guest/file/diff.js";
import { FileHost } from "../../../src/guest/file/host.js";
import { Random } from "../../support/random.js";
import { findProgram } from "../../support/require.js";
import { ImageFolder } from "./images.js";

const DISK_BYTES = 1 << 20;
const folder = new ImageFolder();
const disk = folder.at("disk");
const canMount = findProgram("mount") !== undefined && process.getuid?.() === 0 && process.platform === "linux";
if (!canMount && process.env["PAGEFERRY_REQUIRE"] === "all") throw new Error("Only root can mount a small disk.");

afterAll(() => folder.remove());

describe.skipIf(!canMount)("on a disk that is full (as root, who can mount a small one)", () => {
  const image = new Random(31).bytes(2 * DISK_BYTES);

  beforeAll(async () => {
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "pageferry-test", disk]);
    folder.write("empty", new Uint8Array(0));
    await diffImages(folder.at("empty"), folder.write("image", image), folder.at("patch"));
  });
  afterAll(() => {
    execFileSync("umount", [disk]);
    rmdirSync(disk);
  });

  function expectAsBefore(): void {
    expect(readdirSync(disk)).toEqual([]);
    const { bfree, bsize } = statfsSync(disk);
    expect(bfree * bsize).toBeGreaterThan(DISK_BYTES * 0.9);
  }

  const full = { code: "image", message: expect.stringMatching(/cannot be written: no space left on device\.$/) };

  it("diff leaves nothing", async () => {
    await expect(diffImages(folder.at("empty"), folder.at("image"), join(disk, "patch"))).rejects.toMatchObject(full);
    expectAsBefore();
  });

  it("apply leaves nothing", async () => {
    await expect(applyPatch(folder.at("empty"), folder.at("patch"), join(disk, "image"))).rejects.toMatchObject(full);
    expectAsBefore();
  });

  it("a host says so, and leaves nothing once it is discarded", async () => {
    const host = new FileHost({ path: join(disk, "image") });
    const regions = [{ name: "image", byteLength: image.length }];
    await host.prepare({ name: "image", kind: "file", pageBytes: 4096, regions, configuration: {} });
    expect(() => host.writePages(0, image)).toThrow(/no space left/);
    await host.discard();
    expectAsBefore();
  });
});
