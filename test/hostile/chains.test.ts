import { afterAll, describe, expect, it } from "vitest";
import { GuestError } from "../../src/guest/errors.js";
import { Chain } from "../../src/guest/file/chain/chain.js";
import { ChainReader } from "../../src/guest/file/chain/chain-reader.js";
import { LeafDigests } from "../../src/guest/file/leaf-digests.js";
import { LeafDecoder } from "../../src/guest/file/mount/leaf-decoder.js";
import { PageState } from "../../src/guest/file/mount/page-states.js";
import { SpillFile } from "../../src/guest/file/mount/spill.js";
import { VerifiedImage } from "../../src/guest/file/verified-image.js";
import { MemoryImage } from "../../src/guest/snapshot/memory-image.js";
import { loadChecksum } from "../../src/wire/checksum.js";
import { encodeFrame, FRAME_HEADER_BYTES } from "../../src/wire/frame.js";
import { BATCHES_AT, chainOf, forge, randomImages } from "../guest/file/chain/chains.js";
import { ImageFolder, PAGE_BYTES } from "../guest/file/images.js";
import { Random } from "../support/random.js";

/** Cases in each of the two runs. `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Math.ceil(Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 60_000) / 400);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261126");
const PATCHES = 3;
const folder = new ImageFolder();
const checksum = await loadChecksum();
afterAll(() => folder.remove());

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

const chain = await chainOf(folder, randomImages(new Random(SEED), [300_000, 300_000, 280_001, 320_000]));
const last = chain.images[PATCHES] as Uint8Array;
const lastLeaves = await LeafDigests.compute(new MemoryImage("the last image", last), async () => {});

/** Opens the chain with one patch in the place of another; undefined where it is refused. */
async function open(patch: number, bytes: Uint8Array): Promise<Chain | undefined> {
  const paths = chain.patchPaths.slice();
  paths[patch] = folder.write("mutated", bytes);
  return Chain.open(chain.basePath, paths).catch(refused);
}

/** For errors that say what is wrong; others are faults. */
function refused(error: unknown): undefined {
  if (!(error instanceof GuestError)) throw error;
  expect(["patch-malformed", "patch-base", "image"]).toContain(error.code);
  return undefined;
}

function expectedPage(page: number): Uint8Array {
  const bytes = new Uint8Array(PAGE_BYTES);
  bytes.set(last.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
  return bytes;
}

/** The body of a frame mutated, under a checksum that is right for it. */
async function mutateInside(patch: Uint8Array, random: Random): Promise<Uint8Array> {
  const length = new DataView(patch.buffer, patch.byteOffset).getUint32(BATCHES_AT + 4, true);
  const body = patch.subarray(BATCHES_AT + FRAME_HEADER_BYTES, BATCHES_AT + FRAME_HEADER_BYTES + length);
  const frame = encodeFrame(checksum, 2, 0, random.mutate(body));
  const rest = patch.subarray(BATCHES_AT + FRAME_HEADER_BYTES + length);
  const patchBytes = BATCHES_AT + frame.length + rest.length;
  return forge(Buffer.concat([patch.subarray(0, BATCHES_AT), frame, rest]), { patchBytes });
}

describe(`chains with a mutated patch, from seed ${SEED}`, () => {
  it(`${CASES} patches damaged on their way give right pages or errors`, async () => {
    const random = new Random(SEED);
    let right = 0;
    let wrong = 0;
    for (let done = 0; done < CASES; done++) {
      const patch = random.below(PATCHES);
      const honest = folder.read(`patch-${patch + 1}`);
      // What is cut or longer than it says is refused at once: mostly bytes are changed.
      const mutated = random.below(8) === 0 ? random.mutate(honest) : honest.slice();
      const at = random.below(3) === 0 ? random.below(600) : random.below(mutated.length);
      mutated[at] = (mutated[at] as number) ^ (1 << random.below(8));
      const opened = await open(patch, mutated);
      if (opened === undefined) continue;
      try {
        const reader = await ChainReader.open(opened, opened.base).catch(refused);
        for (let page = 0; page < (reader?.pageCount ?? 0); page++) {
          const bytes = new Uint8Array(PAGE_BYTES);
          try {
            reader?.readPage(page, bytes);
          } catch (error) {
            refused(error);
            wrong += 1;
            continue;
          }
          if (Buffer.compare(bytes, expectedPage(page)) !== 0) expect.fail(`case ${done}: page ${page} is another`);
          right += 1;
        }
      } finally {
        opened.close();
      }
    }
    expect(right).toBeGreaterThan(0);
    expect(wrong).toBeGreaterThan(0);
  });

  it(`${CASES} patches mutated by their maker are seen through where the digests of the parts are known`, async () => {
    const random = new Random(SEED + 1);
    const spill = SpillFile.create();
    let decoded = 0;
    let failed = 0;
    for (let done = 0; done < CASES; done++) {
      const patch = random.below(PATCHES);
      const opened = await open(patch, await mutateInside(folder.read(`patch-${patch + 1}`), random));
      if (opened === undefined) continue;
      try {
        const baseLeaves = await LeafDigests.compute(opened.base, async () => {});
        const base = new VerifiedImage(opened.base, baseLeaves);
        const reader = await ChainReader.open(opened, base).catch(refused);
        if (reader === undefined) continue;
        const states = new Uint8Array(reader.pageCount);
        const onFault = (): void => {};
        const decoder = new LeafDecoder({ reader, base, baseLeaves, lastLeaves, states, spill, onFault });
        for (let leaf = 0; leaf < decoder.leafCount; leaf++) decoder.decode(leaf);
        for (let page = 0; page < reader.pageCount; page++) {
          expect(states[page]).not.toBe(PageState.unknown);
          if (states[page] === PageState.failed) {
            failed += 1;
            continue;
          }
          const bytes = new Uint8Array(PAGE_BYTES);
          const source = states[page] === PageState.decoded ? spill : opened.base;
          source.read(page * PAGE_BYTES, bytes);
          if (Buffer.compare(bytes, expectedPage(page)) !== 0) expect.fail(`case ${done}: page ${page} is another`);
          decoded += 1;
        }
      } finally {
        opened.close();
      }
    }
    spill.close();
    expect(decoded).toBeGreaterThan(0);
    expect(failed).toBeGreaterThan(0);
  });
});
