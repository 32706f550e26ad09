import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type InitramfsEntry, packInitramfs } from "../../../src/guest/debian/initramfs.js";
import { demoInitramfs } from "../../../src/guest/v86/demo-userland.js";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { findProgram } from "../../support/require.js";

const cpio = findProgram("cpio");
const ENTRIES: readonly InitramfsEntry[] = [
  { path: "bin", mode: 0o040755 },
  { path: "bin/a", mode: 0o100755, content: new Random(1).bytes(1001) },
  { path: "empty", mode: 0o100644, content: new Uint8Array(0) },
  { path: "ünicode", mode: 0o100600, content: Uint8Array.of(1, 2, 3) },
];

describe("initramfs", () => {
  it("of one file is, byte for byte, what the format says", () => {
    const archive = packInitramfs([{ path: "init", mode: 0o100755, content: new TextEncoder().encode("hello") }]);
    const header =
      "070701 00000001 000081ed 00000000 00000000 00000001 00000000 00000005 00000000 00000000 00000000 00000000 00000005 00000000";
    const trailer =
      "070701 00000002 00000000 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 0000000b 00000000";
    const text = `${header}init\0\0hello\0\0\0${trailer}TRAILER!!!\0\0\0\0`.replaceAll(" ", "");
    expectSameBytes(archive, new TextEncoder().encode(text.padEnd(512, "\0")));
  });

  it("refuses names that no archive can hold", () => {
    for (const path of ["", "/init", "a\0b"]) {
      expect(() => packInitramfs([{ path, mode: 0 }])).toThrow(expect.objectContaining({ code: "argument" }));
    }
  });

  it("of equal entries is equal", () => {
    const busybox = new Random(2).bytes(5000);
    expectSameBytes(demoInitramfs(busybox), demoInitramfs(busybox));
  });

  it.skipIf(cpio === undefined)("is unpacked by cpio (skipped where cpio is not installed)", () => {
    const folder = mkdtempSync(join(tmpdir(), "pageferry-"));
    try {
      const result = spawnSync(cpio as string, ["-idm", "--no-absolute-filenames"], {
        cwd: folder,
        input: packInitramfs(ENTRIES),
      });
      expect(result.status, result.stderr.toString()).toBe(0);
      for (const { path, mode, content } of ENTRIES) {
        expect(statSync(join(folder, path)).mode, path).toBe(mode);
        if (content !== undefined) expectSameBytes(readFileSync(join(folder, path)), content);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
