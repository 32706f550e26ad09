import { setImmediate as nextTurn } from "node:timers/promises";
import { createPageDecoder } from "../../page/create.js";
import { PageError } from "../../page/errors.js";
import { GuestError } from "../errors.js";
import { ImageDigest, LEAF_BYTES } from "./digest.js";
import { ImageFile, WINDOW_BYTES } from "./image.js";
import { malformed, type PatchHeader, PatchReader } from "./patch.js";
import { SparseImage } from "./sparse.js";

/** Options of {@link applyPatch}. */
export interface ApplyOptions {
  /** Whether a file at the next image's path, be it the base, may be replaced. Default: no. */
  readonly overwrite?: boolean;
  /** Stops the work; nothing is left of it. */
  readonly signal?: AbortSignal;
  /** Hears which step it is, and how many bytes of how many are done. */
  readonly onProgress?: (step: ApplyStep, done: number, total: number) => void;
}

/** The steps that take time, in their order. */
export type ApplyStep = "checking the base" | "applying" | "checking the result";

/**
 * Makes the image that the patch was made for, out of the base that it was made from. The image appears at its path whole, compared with the patch's
 * digest, or not at all. Throws `patch-base` before anything is written, `patch-malformed`, `image`, and the signal's reason.
 */
export async function applyPatch(
  basePath: string,
  patchPath: string,
  nextPath: string,
  { overwrite = false, signal, onProgress }: ApplyOptions = {},
): Promise<PatchHeader> {
  const patch = await PatchReader.open(patchPath);
  try {
    const base = ImageFile.open(basePath);
    try {
      const application = new Application(base, patch, (step, done, total) => {
        onProgress?.(step, done, total);
        signal?.throwIfAborted();
      });
      await application.checkBase();
      await application.writeNext(nextPath, overwrite);
      return patch.header;
    } finally {
      base.close();
    }
  } finally {
    patch.close();
  }
}

class Application {
  readonly #base: ImageFile;
  readonly #patch: PatchReader;
  readonly #tell: NonNullable<ApplyOptions["onProgress"]>;

  constructor(base: ImageFile, patch: PatchReader, tell: NonNullable<ApplyOptions["onProgress"]>) {
    this.#base = base;
    this.#patch = patch;
    this.#tell = tell;
  }

  async checkBase(): Promise<void> {
    const { base, next } = this.#patch.header;
    const digest = await this.#digestOf("checking the base", this.#base.byteLength, (at, into) =>
      this.#base.read(at, into),
    );
    if (digest === base.digest) return;
    const isDone = digest === next.digest ? " It is what the patch makes: the patch has been applied already." : "";
    throw new GuestError("patch-base", `The patch was made from another image than ${this.#base.path}.${isDone}`);
  }

  async writeNext(path: string, overwrite: boolean): Promise<void> {
    const { next, pageBytes } = this.#patch.header;
    const image = new SparseImage(path, next.byteLength, pageBytes, overwrite);
    try {
      await image.copyFrom(this.#base, () => this.#tell("applying", 0, 1));
      await this.#applyBatches(image);
      const read = (at: number, into: Uint8Array): void => image.readPages(at / pageBytes, into);
      const digest = await this.#digestOf("checking the result", next.byteLength, read);
      if (digest !== next.digest) throw malformed("it does not make the image that it promises");
      image.commit();
    } finally {
      image.discard();
    }
  }

  async #applyBatches(image: SparseImage): Promise<void> {
    const { next, pageBytes, batches, changedPages } = this.#patch.header;
    const pageCount = Math.ceil(next.byteLength / pageBytes);
    const decoder = await createPageDecoder(image, { pageBytes, pageCount, compression: "zstd" });
    let done = 0;
    let pages = 0;
    for (const batch of this.#patch.batches()) {
      try {
        pages += decoder.decode(batch);
      } catch (error) {
        throw error instanceof PageError && error.code !== "zstd-missing" ? malformed(error.message, error) : error;
      }
      done += 1;
      this.#tell("applying", done, batches);
      await nextTurn();
    }
    if (pages !== changedPages) throw malformed("it does not have as many pages as it says");
  }

  async #digestOf(
    step: ApplyStep,
    byteLength: number,
    read: (position: number, into: Uint8Array) => void,
  ): Promise<string> {
    const digest = new ImageDigest(byteLength);
    const window = new Uint8Array(WINDOW_BYTES);
    for (let position = 0; position < byteLength; position += WINDOW_BYTES) {
      read(position, window);
      const end = Math.min(WINDOW_BYTES, byteLength - position);
      for (let at = 0; at < end; at += LEAF_BYTES) digest.add(window.subarray(at, at + LEAF_BYTES));
      this.#tell(step, Math.min(position + WINDOW_BYTES, byteLength), byteLength);
      await nextTurn();
    }
    return digest.finish();
  }
}
