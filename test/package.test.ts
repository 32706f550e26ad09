import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { projectFolder } from "./support/docs.js";

const read = (path: string): string => readFileSync(`${projectFolder}${path}`, "utf8");
const manifest = JSON.parse(read("package.json")) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  bin: Record<string, string>;
  exports: Record<string, string | Record<string, string>>;
};

describe("the package", () => {
  it("pins every dependency", () => {
    for (const [name, range] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      expect(range, name).toMatch(/^\d+\.\d+\.\d+$/);
    }
  });

  it("has no download addresses in its lock file", () => {
    expect(read("package-lock.json")).not.toMatch(/"resolved"|https?:\/\/[^"]*\.tgz/);
  });

  it("exports and runs only files that are built", () => {
    const targets = [
      ...Object.values(manifest.exports).flatMap((target) =>
        typeof target === "string" ? [target] : Object.values(target),
      ),
      ...Object.values(manifest.bin),
    ];
    for (const target of targets) expect(() => read(target), target).not.toThrow();
  });

  it("runs as a command", () => {
    const run = (...args: string[]): string =>
      execFileSync(process.execPath, [`${projectFolder}${manifest.bin["pageferry"]}`, ...args], { encoding: "utf8" });
    expect(run("--version").trim()).toBe(JSON.parse(read("package.json")).version);
    expect(run("--help")).toContain("inspect");
  });
});
