import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomImages } from "../guest/file/chain/chains.js";
import { ImageFolder } from "../guest/file/images.js";
import { exampleIn } from "../support/docs.js";
import { fuseMissing } from "../support/fuse.js";
import { Random } from "../support/random.js";
import { command } from "./command.js";

const reason = fuseMissing();
const folder = new ImageFolder();
const TIMEOUT_MS = 60_000;

/** Runs an example of the page in the folder with the images, as a user would. */
function run(name: string): string {
  const path = `${folder.path}:${process.env["PATH"]}`;
  const env = { ...process.env, PATH: path, XDG_CACHE_HOME: folder.at("cache") };
  const script = `set -e\n${exampleIn("docs/cli.md", "sh", name)}`;
  return execFileSync("bash", ["-c", script], { cwd: folder.path, encoding: "utf8", env, timeout: TIMEOUT_MS });
}

describe("docs/cli.md", () => {
  beforeAll(() => {
    const [monday, tuesday, wednesday] = randomImages(new Random(2), [1_000_000, 1_000_000, 1_000_000]);
    writeFileSync(folder.at("pageferry"), `#!/bin/sh\nexec "${process.execPath}" "${command}" "$@"\n`, { mode: 0o755 });
    folder.write("monday.raw", monday as Uint8Array);
    folder.write("tuesday.raw", tuesday as Uint8Array);
    folder.write("wednesday.raw", wednesday as Uint8Array);
  });
  afterAll(() => folder.remove());

  it("the example of a chain comes to the same image", () => {
    expect(run("chain")).toMatch(/both\.patch: .* instead of 2 patches/);
  });

  it.skipIf(reason !== undefined)(`the example of a mount gives the same image (${reason ?? "available"})`, () => {
    expect(run("mount")).toMatch(/^ready: memory, 1\.00 MB of monday\.raw and 2 patches$/m);
  });
});
