import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GuestError } from "../../../src/guest/errors.js";
import { applyPatch } from "../../../src/guest/file/apply.js";
import { diffImages } from "../../../src/guest/file/diff.js";
import { type Checksum, loadChecksum } from "../../../src/wire/checksum.js";
import { encodeFrame } from "../../../src/wire/frame.js";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { ImageFolder, imageOf } from "./images.js";

const HEADER_AT = 32;
const BATCHES_AT = 544;
const folder = new ImageFolder();
const random = new Random(8);
const base = imageOf(random, 6_000_000);
const next = base.slice();
// Novel pages for more than one batch.
next.set(random.bytes(4_500_000), 500_000);
let patch: Uint8Array;
let checksum: Checksum;

beforeAll(async () => {
  checksum = await loadChecksum();
  await diffImages(folder.write("base", base), folder.write("next", next), folder.at("patch"));
  patch = folder.read("patch");
});
afterAll(() => folder.remove());

/** Where each frame begins, and where the last one ends. */
function frames(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const starts = [16];
  let at = 16;
  while (at < bytes.length) {
    at += 16 + view.getUint32(at + 4, true);
    starts.push(at);
  }
  return starts;
}

/** Applies a patch that must not be accepted, and expects that nothing is left of it. */
async function refusal(bytes: Uint8Array): Promise<GuestError> {
  folder.write("hostile", bytes);
  const error = await applyPatch(folder.at("base"), folder.at("hostile"), folder.at("made")).catch((reason) => reason);
  expect(folder.names()).toEqual(["base", "hostile", "next", "patch"]);
  return error as GuestError;
}

function headerOf(bytes: Uint8Array): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(bytes.subarray(HEADER_AT, BATCHES_AT)));
}

/** A patch with this header and these batches, all checksums right. */
function forge(header: object, ...batches: Uint8Array[]): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(header).padEnd(512));
  const pieces = [new TextEncoder().encode("pageferry patch\n"), encodeFrame(checksum, 1, 0, body)];
  return Buffer.concat([...pieces, ...batches.map((batch) => encodeFrame(checksum, 2, 0, batch))]);
}

function digestTwin(image: Uint8Array): string {
  const root = createHash("sha256").update("pageferry image 1\n");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(image.length));
  root.update(length);
  for (let at = 0; at < image.length; at += 65_536) {
    const leaf = Buffer.alloc(65_536);
    leaf.set(image.subarray(at, at + 65_536));
    root.update(createHash("sha256").update(leaf).digest());
  }
  return root.digest("hex");
}

describe("a patch file", () => {
  it("has its layout", () => {
    expect(new TextDecoder().decode(patch.subarray(0, 16))).toBe("pageferry patch\n");
    expect(headerOf(patch)).toMatchObject({
      format: "pageferry patch",
      version: 1,
      base: { byteLength: base.length, digest: digestTwin(base) },
      next: { byteLength: next.length, digest: digestTwin(next) },
      pageBytes: 4096,
      patchBytes: patch.length,
    });
    const starts = frames(patch);
    expect(starts[1]).toBe(BATCHES_AT);
    expect(starts.at(-1)).toBe(patch.length);
    expect(headerOf(patch)["batches"]).toBe(starts.length - 2);
    expect(starts.length).toBeGreaterThan(3);
  });

  it("is refused when it is cut anywhere", async () => {
    for (const at of new Set([
      0,
      1,
      15,
      ...frames(patch).flatMap((start) => [start - 1, start, start + 1, start + 16]),
    ])) {
      if (at >= patch.length) continue;
      expect((await refusal(patch.subarray(0, at))).code, `cut at ${at}`).toBe("patch-malformed");
    }
    expect((await refusal(Buffer.concat([patch, Uint8Array.of(0)]))).code).toBe("patch-malformed");
  });

  it("is refused when a byte of any frame's header, beginning or end is another", async () => {
    const starts = frames(patch);
    const places = starts
      .slice(0, -1)
      .flatMap((start, index) => [
        ...Array.from({ length: 17 }, (_, byte) => start + byte),
        (starts[index + 1] as number) - 1,
      ]);
    for (const at of [0, 15, ...places]) {
      const mutated = patch.slice();
      mutated[at] = (mutated[at] as number) ^ (1 << random.below(8));
      expect((await refusal(mutated)).code, `byte ${at}`).toBe("patch-malformed");
    }
  });

  it("is refused when its frames are missing, stand twice or in the header's place", async () => {
    const [, first, second, third] = frames(patch) as [number, number, number, number];
    const cut = [patch.subarray(0, first), patch.subarray(first, second), patch.subarray(second, third)] as const;
    const rest = patch.subarray(third);
    for (const pieces of [
      [cut[0], cut[2], rest],
      [cut[0], cut[1], cut[1], rest.subarray(cut[1].length)],
      [cut[0], cut[1], cut[1].subarray(0), rest],
      [cut[1], cut[0], cut[2], rest],
    ]) {
      expect((await refusal(Buffer.concat(pieces))).code).toBe("patch-malformed");
    }
  });
});

describe("a forged patch whose checksums are right", () => {
  const batches = (): Uint8Array[] =>
    frames(patch)
      .slice(1, -1)
      .map((start, index) => patch.subarray(start + 16, frames(patch)[index + 2]));

  it("is as good as another where nothing is forged", async () => {
    folder.write("forged", forge(headerOf(patch), ...batches()));
    await applyPatch(folder.at("base"), folder.at("forged"), folder.at("same"));
    expectSameBytes(folder.read("same"), next);
    for (const name of ["forged", "same"]) rmSync(folder.at(name));
  });

  it("is refused when its header is impossible", async () => {
    const header = headerOf(patch);
    const image = header["next"] as object;
    for (const [change, expected] of [
      [{ version: 2 }, /newer version/],
      [{ version: 0 }, /wrong at version/],
      [{ format: "tar" }, /wrong at format/],
      [{ pageBytes: 4095 }, /wrong at pageBytes/],
      [{ pageBytes: 1 << 30 }, /wrong at pageBytes/],
      [{ next: { ...image, byteLength: -1 } }, /wrong at next\.byteLength/],
      [{ next: { ...image, byteLength: Number.MAX_SAFE_INTEGER } }, /wrong at/],
      [{ next: { ...image, digest: "00" } }, /wrong at next\.digest/],
      [{ patchBytes: patch.length + 1 }, /bytes where its header says/],
      [{ batches: 1 }, /more frames than it says/],
      [{ batches: 1e9 }, /fewer batches than it says/],
      [{ changedPages: 1 }, /as many pages/],
      [{ surplus: 1 }, /wrong at/],
      [{ next: { ...image, digest: "0".repeat(64) } }, /promises/],
      [{ next: { ...image, byteLength: 4096 } }, /leaves the machine's memory/],
    ] as const) {
      const error = await refusal(forge({ ...header, ...change }, ...batches()));
      expect(error.code, JSON.stringify(change)).toBe("patch-malformed");
      expect(error.message).toMatch(expected);
    }
  });

  it("is refused when a piece of a frame stands behind its last", async () => {
    const rest = patch.subarray(BATCHES_AT, BATCHES_AT + 20);
    const header = { ...headerOf(patch), patchBytes: patch.length + rest.length };
    const error = await refusal(Buffer.concat([forge(header, ...batches()), rest]));
    expect(error.message).toMatch(/ends inside a frame/);
  });

  it("is refused when a frame is on another channel", async () => {
    const [batch] = batches() as [Uint8Array];
    const frame = encodeFrame(checksum, 2, 1, batch);
    const header = { ...headerOf(patch), batches: 1, patchBytes: BATCHES_AT + frame.length };
    expect((await refusal(Buffer.concat([forge(header), frame]))).message).toMatch(/another channel/);
  });

  it("is refused when a batch is none", async () => {
    const header = { ...headerOf(patch), batches: 1 };
    const [batch] = batches() as [Uint8Array];
    for (let round = 0; round < 30; round++) {
      const mutated = round === 0 ? new Uint8Array(0) : random.mutate(batch.subarray(0, 3000));
      const forged = forge({ ...header, patchBytes: BATCHES_AT + 16 + mutated.length }, mutated);
      expect((await refusal(forged)).code, `round ${round}`).toBe("patch-malformed");
    }
  });

  it("is refused when its base is another, before its batches are looked at", async () => {
    const header = { ...headerOf(patch), base: { byteLength: base.length, digest: "0".repeat(64) }, batches: 1 };
    const forged = forge({ ...header, patchBytes: BATCHES_AT + 16 }, new Uint8Array(0));
    expect((await refusal(forged)).code).toBe("patch-base");
  });
});
