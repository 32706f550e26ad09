import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { exampleIn, projectFolder } from "./support/docs.js";

it("README.md shows the same example as docs/embedding.md", () => {
  expect(exampleIn("README.md", "js", "migrate")).toBe(exampleIn("docs/embedding.md", "js", "migrate"));
});

describe("docs/embedding.md", () => {
  it.each(["migrate", "resumable", "postcopy", "pages", "node", "foreign"])(
    "the example %s prints what it says",
    (name) => {
      const code = exampleIn("docs/embedding.md", "js", name);
      const printed = execFileSync(process.execPath, ["--input-type=module", "--eval", code], {
        cwd: projectFolder,
        encoding: "utf8",
      });
      expect(printed).toBe(exampleIn("docs/embedding.md", "text", name));
    },
  );
});
