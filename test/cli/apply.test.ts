import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { ImageFolder, imageOf, successorOf } from "../guest/file/images.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";
import { pageferry, pageferryJson } from "./command.js";

const folder = new ImageFolder();
const random = new Random(42);
const base = imageOf(random, 500_000);
const next = successorOf(random, base, 600_001);
const apply = (...words: string[]): string[] => ["apply", folder.at("base"), folder.at("patch"), "-o", ...words];

beforeEach(() => {
  folder.empty();
  folder.write("base", base);
  pageferryJson("diff", folder.at("base"), folder.write("next", next), "-o", folder.at("patch"));
});
afterAll(() => folder.remove());

describe("pageferry apply", () => {
  it("makes the next image, and names it", () => {
    const { status, stdout, stderr } = pageferry(...apply(folder.at("made")));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/made: 600 kB, verified \([0-9a-f]{64}\)\n$/);
    expectSameBytes(folder.read("made"), next);
    expect(pageferryJson(...apply(folder.at("again")))).toMatchObject({ next: { byteLength: 600_001 } });
  });

  it("replaces an image only by force, also the base", () => {
    expect(pageferry(...apply(folder.at("base"))).status).toBe(1);
    expectSameBytes(folder.read("base"), base);
    expect(pageferry(...apply(folder.at("base"), "-f")).status).toBe(0);
    expectSameBytes(folder.read("base"), next);
    const { status, stderr } = pageferry(...apply(folder.at("base"), "-f"));
    expect(status).toBe(1);
    expect(stderr).toMatch(/applied already/);
  });

  it("refuses a damaged patch and another base", () => {
    const patch = folder.read("patch");
    folder.write("patch", patch.subarray(0, -1));
    const damaged = pageferry(...apply(folder.at("made")));
    expect(damaged.status).toBe(1);
    expect(damaged.stderr).toMatch(/^pageferry: The patch is damaged or none at all: .*\.\n$/);
    folder.write("patch", patch);
    folder.write("base", base.subarray(1));
    const other = pageferry(...apply(folder.at("made")));
    expect(other.status).toBe(1);
    expect(other.stderr).toMatch(/^pageferry: The patch was made from another image than .*base\.\n$/);
    expect(folder.names()).toEqual(["base", "next", "patch"]);
  });

  it("has help with an example", () => {
    expect(pageferry("apply", "--help").stdout).toContain("pageferry apply monday.raw tuesday.patch -o tuesday.raw");
  });
});
