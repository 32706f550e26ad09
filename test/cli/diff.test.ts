import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync, truncateSync } from "node:fs";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { ImageFolder, imageOf, successorOf } from "../guest/file/images.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";
import { command, pageferry, pageferryJson } from "./command.js";

const folder = new ImageFolder();
const random = new Random(41);
const base = imageOf(random, 500_000);
const next = successorOf(random, base, 400_001);

beforeEach(() => {
  folder.empty();
  folder.write("base", base);
  folder.write("next", next);
});
afterAll(() => folder.remove());

const images = [folder.at("base"), folder.at("next")];

describe("pageferry diff", () => {
  it("makes a patch and says what it consists of", () => {
    const { status, stdout, stderr } = pageferry("diff", ...images, "-o", folder.at("patch"));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/patch: .* make 400 kB of 500 kB\n\d+ of 98 pages differ: \d+ zero, /);
    const report = pageferryJson("diff", ...images, "-o", folder.at("same"));
    expect(report).toMatchObject({ base: { byteLength: 500_000 }, next: { byteLength: 400_001 } });
    expect((report as { patchBytes: number }).patchBytes).toBe(statSync(folder.at("patch")).size);
    expectSameBytes(folder.read("same"), folder.read("patch"));
  });

  it("replaces a patch only by force", () => {
    folder.write("patch", Uint8Array.of(1));
    const { status, stderr } = pageferry("diff", ...images, "-o", folder.at("patch"));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^pageferry: .*patch exists already; .*\n$/);
    expectSameBytes(folder.read("patch"), Uint8Array.of(1));
    expect(pageferry("diff", ...images, "-o", folder.at("patch"), "--force").status).toBe(0);
    expect(folder.read("patch").length).toBeGreaterThan(544);
  });

  it("says in one sentence what is wrong, and ends with its exit status", () => {
    for (const [words, expectedStatus, expectedText] of [
      [["diff", ...images], 2, /required option '-o, --output <patch>'/],
      [["diff", folder.at("base"), "-o", "patch"], 2, /missing required argument 'new'/],
      [["diff", ...images, "-o", folder.at("patch"), "--level", "3"], 2, /unknown option '--level'/],
      [["constructor"], 2, /unknown command 'constructor'/],
      [
        ["diff", folder.at("none"), folder.at("next"), "-o", folder.at("patch")],
        1,
        /^pageferry: .*none cannot be read: no such file or directory\.\n$/,
      ],
      [
        ["diff", ...images, "-o", folder.at("no/patch")],
        1,
        /^pageferry: .*patch cannot be written: no such file or directory\.\n$/,
      ],
    ] as const) {
      const { status, stderr } = pageferry(...words);
      expect(status, words.join(" ")).toBe(expectedStatus);
      expect(stderr).toMatch(expectedText);
      expect(stderr).not.toMatch(/\n +at /);
    }
    expect(folder.names()).toEqual(["base", "next"]);
  });

  it("has help with an example", () => {
    const { status, stdout } = pageferry("diff", "--help");
    expect(status).toBe(0);
    expect(stdout).toContain("pageferry diff monday.raw tuesday.raw -o tuesday.patch");
    expect(pageferry("--help").stdout).toMatch(/inspect.*diff.*apply/s);
  });

  it("leaves nothing when it is interrupted", async () => {
    // A hole of 1 TiB: it would be read for minutes.
    truncateSync(folder.at("base"), 2 ** 40);
    const child = spawn(process.execPath, [command, "diff", ...images, "-o", folder.at("patch")]);
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    await expect.poll(() => folder.names().length, { timeout: 20_000 }).toBe(3);
    child.kill("SIGINT");
    const [status] = await once(child, "exit");
    expect(status).toBe(130);
    expect(stderr).toBe("pageferry: Cancelled; nothing was changed.\n");
    expect(folder.names()).toEqual(["base", "next"]);
  });
});
