import { loadChecksum } from "../../../wire/checksum.js";
import { GuestError } from "../../errors.js";
import { ImageFile } from "../image.js";
import { type PatchHeader, PatchReader } from "../patch.js";
import { PatchFile } from "../patch-file.js";
import { isPatch, PATCH_MAGIC } from "../patch-layout.js";
import { PatchFrames } from "./patch-frames.js";

/** A patch of a chain. */
export interface ChainLink {
  readonly path: string;
  readonly header: PatchHeader;
  readonly frames: PatchFrames;
}

/** A base image, and patches that follow each other: each was made from what the ones before it make. */
export class Chain {
  readonly base: ImageFile;
  readonly links: readonly ChainLink[];
  /** Bytes of a page of all patches. */
  readonly pageBytes: number;
  /** Of the last image. */
  readonly byteLength: number;
  /** Of the last image, as the last patch promises it. */
  readonly digest: string;
  readonly #files: readonly PatchFile[];

  private constructor(base: ImageFile, files: readonly PatchFile[], links: readonly ChainLink[]) {
    const { header } = links.at(-1) as ChainLink;
    this.base = base;
    this.links = links;
    this.pageBytes = header.pageBytes;
    this.byteLength = header.next.byteLength;
    this.digest = header.next.digest;
    this.#files = files;
  }

  /**
   * Opens a base and one patch or more, in the order in which they were made, and compares what they say of each other. What they hold is not read.
   * Throws `patch-base` where a patch does not build on what stands before it, `patch-malformed`, `image`.
   */
  static async open(basePath: string, patchPaths: readonly string[]): Promise<Chain> {
    const checksum = await loadChecksum();
    const base = ImageFile.open(basePath);
    const files: PatchFile[] = [];
    try {
      const start = new Uint8Array(PATCH_MAGIC.length);
      base.read(0, start);
      if (isPatch(start)) {
        throw new GuestError(
          "patch-base",
          `${basePath} is a patch itself; the image that it was made from goes first.`,
        );
      }
      const links: ChainLink[] = [];
      for (const path of patchPaths) {
        const file = new PatchFile(path);
        files.push(file);
        links.push(
          inPatch(path, () => {
            const { header } = new PatchReader(file, checksum);
            return { path, header, frames: new PatchFrames(file, checksum, header) };
          }),
        );
      }
      checkOrder(base, links);
      return new Chain(base, files, links);
    } catch (error) {
      base.close();
      for (const file of files) file.close();
      throw error;
    }
  }

  close(): void {
    this.base.close();
    for (const file of this.#files) file.close();
  }
}

/** Runs `work` on a patch; what it finds wrong with it names the patch. */
export function inPatch<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw ofPatch(path, error);
  }
}

/** An error of a patch with the patch's path in it. */
export function ofPatch(path: string, error: unknown): unknown {
  if (!(error instanceof GuestError) || error.code !== "patch-malformed") return error;
  return new GuestError("patch-malformed", error.message.replace("The patch", path), { cause: error });
}

function checkOrder(base: ImageFile, links: readonly ChainLink[]): void {
  for (const [index, { path, header }] of links.entries()) {
    const name = `Patch ${index + 1} of ${links.length} (${path})`;
    const before = links[index - 1];
    if (before === undefined) {
      if (header.base.byteLength === base.byteLength) continue;
      const lengths = `of ${header.base.byteLength} bytes; ${base.path} has ${base.byteLength}`;
      throw new GuestError("patch-base", `${name} was made from an image ${lengths}.`);
    }
    const { next, pageBytes } = before.header;
    if (header.base.digest !== next.digest || header.base.byteLength !== next.byteLength) {
      throw new GuestError(
        "patch-base",
        `${name} does not build on the one before it (${before.path}); patches go in the order in which they were made.`,
      );
    }
    if (header.pageBytes !== pageBytes) {
      const sizes = `${header.pageBytes} bytes, the one before it of ${pageBytes}`;
      throw new GuestError("patch-base", `${name} has pages of ${sizes}; a chain has one size.`);
    }
  }
}
