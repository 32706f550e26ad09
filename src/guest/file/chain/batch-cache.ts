/** The most bytes of decompressed batches that are kept. */
export const BATCH_CACHE_BYTES: number = 128 << 20;

/** Batches as they were decompressed last, the one that was not asked for the longest goes first. */
export class BatchCache {
  readonly #residuals = new Map<string, Uint8Array>();
  #bytes = 0;

  /** Keeps a batch without another going for it: where there is room. */
  offer(patch: number, batch: number, residual: Uint8Array): void {
    if (this.#bytes + residual.length <= BATCH_CACHE_BYTES) this.#set(`${patch}/${batch}`, residual.slice());
  }

  /** A batch's residual stream, made by `read` where it is not here. */
  get(patch: number, batch: number, read: () => Uint8Array): Uint8Array {
    const key = `${patch}/${batch}`;
    const found = this.#residuals.get(key);
    if (found !== undefined) {
      this.#residuals.delete(key);
      this.#residuals.set(key, found);
      return found;
    }
    const residual = read().slice();
    for (const [oldest, { length }] of this.#residuals) {
      if (this.#bytes + residual.length <= BATCH_CACHE_BYTES) break;
      this.#residuals.delete(oldest);
      this.#bytes -= length;
    }
    this.#set(key, residual);
    return residual;
  }

  clear(): void {
    this.#residuals.clear();
    this.#bytes = 0;
  }

  #set(key: string, residual: Uint8Array): void {
    this.#residuals.set(key, residual);
    this.#bytes += residual.length;
  }
}
