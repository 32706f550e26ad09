import { createPageDecoder } from "../../page/create.js";
import type { PageStore } from "../../page/decoder.js";
import { PageError } from "../../page/errors.js";
import { nextTurn } from "../turn.js";
import { malformed, type PatchReader } from "./patch.js";

/**
 * Writes a patch's pages over the base in `store`; `onBatch` hears how many batches are done, and may throw. Throws `patch-malformed`; what the store
 * holds is then of no use.
 */
export async function applyBatches(
  patch: PatchReader,
  store: PageStore,
  onBatch: (done: number) => void = () => undefined,
): Promise<void> {
  const { next, pageBytes, changedPages } = patch.header;
  const pageCount = Math.ceil(next.byteLength / pageBytes);
  const decoder = await createPageDecoder(store, { pageBytes, pageCount, compression: "zstd" });
  let done = 0;
  let pages = 0;
  for (const batch of patch.batches()) {
    try {
      pages += decoder.decode(batch);
    } catch (error) {
      throw error instanceof PageError && error.code !== "zstd-missing" ? malformed(error.message, error) : error;
    }
    done += 1;
    onBatch(done);
    await nextTurn();
  }
  if (pages !== changedPages) throw malformed("it does not have as many pages as it says");
}
