import { createHash } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withDebianPackages } from "../../../src/guest/debian/packages.js";

const PATH = process.env["PATH"];
const ARCHIVE = "an archive";
const SUM = createHash("sha256").update(ARCHIVE).digest("hex");
let folder: string;
let programs: string;
let packages: string;

/** Programs under apt's names: a package `busybox` whose archive holds one file. */
const APT_GET = `case "$*" in
*update) exit 100 ;;
*--print-uris*) echo "'http://debian/busybox_1.deb' busybox_1.deb 10 SHA256:\${SUM:-${SUM}}" ;;
*busybox) printf '${ARCHIVE}' > busybox_1.deb ;;
*) exit 100 ;;
esac`;
const APT_CACHE = `case "$*" in
*APT::Architecture=amd64*depends*linux) printf 'linux\\n  Depends: other\\n |Depends: linux-image-9\\n    linux-image-8\\nother\\n<virtual>\\n' ;;
*linux) printf 'Package: linux\\nDepends: other (>= 1), linux-image-9 (= 9) | linux-image-8\\n' ;;
*) exit 100 ;;
esac`;
const DPKG_DEB = `mkdir -p "$3/bin" && printf content > "$3/bin/busybox"`;

function install(name: string, script: string): void {
  writeFileSync(join(programs, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(programs, name), 0o755);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pageferry-"));
  programs = mkdtempSync(join(folder, "programs-"));
  packages = join(folder, "packages");
  process.env["PATH"] = `${programs}:/bin:/usr/bin`;
  install("apt-get", APT_GET);
  install("apt-cache", APT_CACHE);
  install("dpkg-deb", DPKG_DEB);
});
afterEach(() => {
  process.env["PATH"] = PATH;
  delete process.env["SUM"];
  rmSync(folder, { recursive: true });
});

const readBusybox = (): Promise<Uint8Array> =>
  withDebianPackages(
    "i386",
    packages,
    () => undefined,
    (debian) => debian.readFileOf("busybox", "bin/busybox"),
  );

describe("Debian packages", () => {
  it("give their files, and nothing but their archives stays", async () => {
    expect(Buffer.from(await readBusybox()).toString()).toBe("content");
    expect(readdirSync(packages)).toEqual(["busybox_1.deb"]);
  });

  it("give their files to several at once", async () => {
    const contents = await Promise.all(Array.from({ length: 5 }, readBusybox));
    for (const content of contents) expect(Buffer.from(content).toString()).toBe("content");
    expect(readdirSync(packages)).toEqual(["busybox_1.deb"]);
  });

  it("are found by what depends on them", async () => {
    const find = (name: string, pattern: RegExp): Promise<string> =>
      withDebianPackages(
        "amd64",
        packages,
        () => undefined,
        (debian) => debian.dependency(name, pattern),
      );
    expect(await find("linux", /^linux-image-\d/)).toBe("linux-image-9");
    await expect(find("linux", /^windows/)).rejects.toMatchObject({ code: "image" });
    await expect(find("nothing", /./)).rejects.toMatchObject({ code: "image" });
  });

  it("are told with all that they need", async () => {
    const closure = (name: string): Promise<readonly string[]> =>
      withDebianPackages(
        "amd64",
        packages,
        () => undefined,
        (debian) => debian.closure(name),
      );
    expect(await closure("linux")).toEqual(["linux", "other"]);
    await expect(closure("nothing")).rejects.toMatchObject({ code: "image" });
  });

  it("are not fetched again after a failure", async () => {
    install("dpkg-deb", "exit 1");
    await expect(readBusybox()).rejects.toMatchObject({ code: "image" });
    expect(readdirSync(packages)).toEqual(["busybox_1.deb"]);
    install("dpkg-deb", DPKG_DEB);
    install("apt-get", APT_GET.replace("*busybox)", "*never)"));
    await readBusybox();
  });

  it("are fetched again where what is there is damaged", async () => {
    install("dpkg-deb", "exit 1");
    await expect(readBusybox()).rejects.toThrow();
    writeFileSync(join(packages, "busybox_1.deb"), "damaged");
    install("dpkg-deb", DPKG_DEB);
    await readBusybox();
  });

  it("are refused where they are not what the package list says", async () => {
    process.env["SUM"] = "0".repeat(64);
    await expect(readBusybox()).rejects.toMatchObject({ code: "image" });
  });

  it("cannot be had without apt or dpkg, or offline", async () => {
    install("apt-get", APT_GET.replace("*busybox)", "*never)"));
    await expect(readBusybox()).rejects.toMatchObject({ code: "image", message: expect.stringContaining("offline") });
    process.env["PATH"] = programs;
    rmSync(join(programs, "apt-get"));
    await expect(readBusybox()).rejects.toMatchObject({ code: "missing-program" });
    expect(readdirSync(packages)).toEqual([]);
  });
});
