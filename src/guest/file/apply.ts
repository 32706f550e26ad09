import { loadChecksum } from "../../wire/checksum.js";
import { GuestError } from "../errors.js";
import { nextTurn } from "../turn.js";
import { applyBatches } from "./batches.js";
import { digestOf } from "./digest.js";
import { ImageFile } from "./image.js";
import { malformed, type PatchHeader, PatchReader } from "./patch.js";
import { PatchFile } from "./patch-file.js";
import type { ImageSource } from "./source.js";
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
  const checksum = await loadChecksum();
  const file = new PatchFile(patchPath);
  try {
    const patch = new PatchReader(file, checksum);
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
    file.close();
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
    const digest = await this.#digestOf("checking the base", this.#base);
    if (digest === base.digest) return;
    const isDone = digest === next.digest ? " It is what the patch makes: the patch has been applied already." : "";
    throw new GuestError("patch-base", `The patch was made from another image than ${this.#base.path}.${isDone}`);
  }

  async writeNext(path: string, overwrite: boolean): Promise<void> {
    const { next, pageBytes, batches } = this.#patch.header;
    const image = new SparseImage(path, next.byteLength, pageBytes, overwrite);
    try {
      await image.copyFrom(this.#base, () => this.#tell("applying", 0, 1));
      await applyBatches(this.#patch, image, (done) => this.#tell("applying", done, batches));
      const { byteLength } = next;
      const read = (at: number, into: Uint8Array): void => image.readPages(at / pageBytes, into);
      const digest = await this.#digestOf("checking the result", { byteLength, read });
      if (digest !== next.digest) throw malformed("it does not make the image that it promises");
      image.commit();
    } finally {
      image.discard();
    }
  }

  #digestOf(step: ApplyStep, image: Pick<ImageSource, "byteLength" | "read">): Promise<string> {
    return digestOf(image, async (done) => {
      this.#tell(step, done, image.byteLength);
      await nextTurn();
    });
  }
}
