import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { projectFolder } from "./docs.js";

/** Puts the packed package into a folder as npm would, its dependencies being the project's. (scripts/test-package.sh installs from the registry.) */
export function installPacked(folder: string): void {
  const packed = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder], {
    cwd: projectFolder,
    encoding: "utf8",
  });
  const target = join(folder, "node_modules", "pageferry");
  mkdirSync(target, { recursive: true });
  execFileSync("tar", ["-xzf", join(folder, packed.trim()), "--strip-components=1", "-C", target]);
  const manifest = JSON.parse(readFileSync(join(target, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(manifest.dependencies)) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(projectFolder, "node_modules", name), link);
  }
}
