import { applyPatch } from "../../../../src/guest/file/apply.js";
import { diffImages } from "../../../../src/guest/file/diff.js";
import type { PatchHeader } from "../../../../src/guest/file/patch.js";
import { loadChecksum } from "../../../../src/wire/checksum.js";
import { encodeFrame, FRAME_HEADER_BYTES } from "../../../../src/wire/frame.js";
import type { Random } from "../../../support/random.js";
import { type ImageFolder, imageOf, PAGE_BYTES, successorOf } from "../images.js";

/** A base and patches in files, and what they come to. */
export interface TestChain {
  readonly basePath: string;
  readonly patchPaths: readonly string[];
  /** The base, and the image after each patch, as `applyPatch` makes it. */
  readonly images: readonly Uint8Array[];
}

/** Writes a chain of images that change from one to the next: of the lengths given, in bytes. */
export async function chainOf(
  folder: ImageFolder,
  images: readonly Uint8Array[],
  cacheBytes?: number,
): Promise<TestChain> {
  const paths = images.map((image, index) => folder.write(`image-${index}`, image));
  const patchPaths: string[] = [];
  for (let index = 1; index < paths.length; index++) {
    const [before, now] = [paths[index - 1] as string, paths[index] as string];
    const patch = folder.at(`patch-${index}`);
    await diffImages(before, now, patch, { overwrite: true, ...(cacheBytes === undefined ? {} : { cacheBytes }) });
    await applyPatch(before, patch, folder.at("made"), { overwrite: true });
    patchPaths.push(patch);
  }
  return { basePath: paths[0] as string, patchPaths, images };
}

/** Images of which each becomes the next by changes of all kinds. */
export function randomImages(random: Random, lengths: readonly number[]): Uint8Array[] {
  const images = [imageOf(random, lengths[0] as number)];
  for (const length of lengths.slice(1)) images.push(successorOf(random, images.at(-1) as Uint8Array, length));
  return images;
}

/** Images of `pages` pages in which each page of `hot` changes a little from one to the next. */
export function hotImages(random: Random, pages: number, patches: number, hot: readonly number[]): Uint8Array[] {
  const images = [random.memoryLike(pages * PAGE_BYTES)];
  for (let patch = 0; patch < patches; patch++) {
    const next = (images.at(-1) as Uint8Array).slice();
    for (const page of hot) random.change(next.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), 3, 20);
    images.push(next);
  }
  return images;
}

const HEADER_AT = 32;
/** Where the batches of a patch begin. */
export const BATCHES_AT = 544;

/** What a patch says of itself. */
export function headerOf(patch: Uint8Array): PatchHeader {
  return JSON.parse(new TextDecoder().decode(patch.subarray(HEADER_AT, BATCHES_AT))) as PatchHeader;
}

/** A patch with another header, whose checksum is right, before the same batches. */
export async function forge(patch: Uint8Array, header: Partial<PatchHeader>): Promise<Uint8Array> {
  const body = new TextEncoder().encode(
    JSON.stringify({ ...headerOf(patch), ...header }).padEnd(BATCHES_AT - HEADER_AT),
  );
  const frame = encodeFrame(await loadChecksum(), 1, 0, body);
  return Buffer.concat([patch.subarray(0, HEADER_AT - FRAME_HEADER_BYTES), frame, patch.subarray(BATCHES_AT)]);
}
