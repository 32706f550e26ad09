import { appendFileSync } from "node:fs";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { FileGuest } from "../../../src/guest/file/guest.js";
import { FileHost, type FileHostOptions } from "../../../src/guest/file/host.js";
import { Destination } from "../../../src/migration/destination.js";
import { migrate } from "../../../src/migration/migrate.js";
import type { MigrationReport } from "../../../src/migration/report.js";
import { connectionPair } from "../../../src/transport/pair.js";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { ImageFolder, imageOf, PAGE_BYTES, successorOf } from "./images.js";

const MIB = 1 << 20;
const folder = new ImageFolder();
beforeEach(() => folder.empty());
afterAll(() => folder.remove());

async function move(
  image: string,
  options: Partial<FileHostOptions> = {},
  onProgress: () => void = () => {},
): Promise<MigrationReport> {
  const guest = new FileGuest(folder.at(image));
  const [here, there] = connectionPair();
  const host = new FileHost({ path: folder.at("arrived"), ...options });
  const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 64 * MIB });
  const migration = migrate(guest, here, { compression: "lz4" });
  migration.addEventListener("progress", onProgress);
  try {
    const [report] = await Promise.all([migration.report, destination.receive(there)]);
    return report;
  } finally {
    await guest.release();
  }
}

describe("a memory image moves from file to file", () => {
  it("of any length", async () => {
    const random = new Random(21);
    for (const byteLength of [0, 1, PAGE_BYTES, 3 * MIB + 77]) {
      const image = imageOf(random, byteLength);
      folder.write("image", image);
      const report = await move("image", { overwrite: true });
      expect(report).toMatchObject({ outcome: "completed", ramBytes: byteLength });
      expectSameBytes(folder.read("arrived"), image);
    }
    expect(folder.names()).toEqual(["arrived", "image"]);
  });

  it("and only what differs, where the destination has an older one", async () => {
    const random = new Random(22);
    const older = random.bytes(8 * MIB + 5);
    const image = older.slice();
    for (let page = 0; page < 20; page++) random.change(image.subarray(page * 99 * PAGE_BYTES), 1, 32);
    folder.write("older", older);
    folder.write("image", image);
    const fresh = await move("image");
    const report = await move("image", { basePath: folder.at("older"), overwrite: true });
    expectSameBytes(folder.read("arrived"), image);
    expect(fresh.transferredBytes).toBeGreaterThan(8 * MIB);
    expect(report.transferredBytes).toBeLessThan((8 * MIB) / 40);
  });

  it("also onto the older one itself, grown or cut", async () => {
    const random = new Random(23);
    for (const byteLength of [MIB - 9, 2 * MIB, 3 * MIB + 1]) {
      const older = imageOf(random, 2 * MIB);
      const image = successorOf(random, older, byteLength);
      folder.write("arrived", older);
      folder.write("image", image);
      await move("image", { basePath: folder.at("arrived"), overwrite: true });
      expectSameBytes(folder.read("arrived"), image);
    }
  });

  it("or not at all, when it changes on its way", async () => {
    folder.write("image", new Random(24).bytes(8 * MIB));
    let hasChanged = false;
    const change = (): void => {
      if (!hasChanged) appendFileSync(folder.at("image"), "x");
      hasChanged = true;
    };
    await expect(move("image", {}, change)).rejects.toMatchObject({ code: "guest-failed" });
    await expect.poll(() => folder.names()).toEqual(["image"]);
  });
});
