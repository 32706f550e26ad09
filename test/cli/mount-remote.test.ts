import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ImageFolder } from "../guest/file/images.js";
import { RunningCommand, runCommand } from "../support/command.js";
import { fuseMissing, mountsAt } from "../support/fuse.js";
import { Random } from "../support/random.js";

const execute = promisify(execFile);
const reason = fuseMissing();
const IMAGE_BYTES = (4 << 20) + 1000;

describe.skipIf(reason !== undefined)(`an image of another machine (${reason ?? "available"})`, () => {
  let folder: ImageFolder;
  let commands: RunningCommand[];
  let image: string;
  /** Where it is, with the token. */
  let address: string;

  beforeEach(async () => {
    folder = new ImageFolder();
    commands = [];
    image = folder.at("image.raw");
    await writeFile(image, new Random(1).memoryLike(IMAGE_BYTES));
    const serving = run("serve", "--listen", "127.0.0.1:0", "--image", `monday=${image}`);
    const [, base, token] = (await serving.waitFor(/(ws:\/\/[\d.:]+)\/#([\w-]+)/)) as unknown as string[];
    address = `${base}/images/monday#${token}`;
  });
  afterEach(async () => {
    for (const command of commands) {
      command.process.kill("SIGTERM");
      await command.done;
    }
    await folder.remove();
  });

  function run(...parameters: string[]): RunningCommand {
    const command = new RunningCommand(parameters);
    commands.push(command);
    return command;
  }

  it("appears as a file, and goes when it is told to", async () => {
    const file = folder.at("mounted");
    const mounted = run("mount", address, file);
    const [line] = await mounted.waitFor(/^ready: .*/m);
    expect(line).not.toContain(address.split("#")[1]);
    await execute("cmp", [file, image]);
    await mounted.waitFor(/All of it is there and verified/);
    expect((await readFile(file)).equals(await readFile(image))).toBe(true);
    mounted.process.kill("SIGTERM");
    const { status, stderr } = await mounted.done;
    expect([status, stderr]).toEqual([0, ""]);
    expect(await mountsAt(file)).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  it.each([
    ["that is not there", (known: string) => known.replace("monday", "friday"), 1],
    ["without the token", (known: string) => known.replace(/#.*/, ""), 1],
    ["that is no address", () => "ws://127.0.0.1:1/machines/monday", 2],
  ])("%s is refused, and nothing is left", async (_, change, expected) => {
    const file = folder.at("mounted");
    const { status, stderr } = await runCommand("mount", change(address), file);
    expect(status, stderr).toBe(expected);
    expect(stderr).toMatch(/^pageferry: /);
    expect(existsSync(file)).toBe(false);
  });
});
