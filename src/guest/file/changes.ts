import { createKernels } from "../../kernel/load.js";
import { nextTurn } from "../turn.js";
import { type ImageSource, WINDOW_BYTES } from "./source.js";

/** How a window of the one image compares with that of the other: zeros in both, equal, or different. */
export type WindowComparison = "zero" | "equal" | "different";

/** Is told of what changed from one image to another. The bytes hold until the method returns. */
export interface ChangeVisitor {
  /** Every window of the longer image, in order, filled up with zeros to its whole length. What it returns is waited for later. */
  window?(base: Uint8Array, next: Uint8Array, comparison: WindowComparison): unknown;
  /**
   * What the base holds in pages that the next image has as well; for a segment's pages before the first of its changes. Windows that are zero in both
   * images are left out.
   */
  base(firstPage: number, pages: Uint8Array): void;
  /** Pages of the next image that differ from the base, ascending. */
  changed(firstPage: number, pages: Uint8Array): void;
}

/** Options of {@link visitChanges}. */
export interface ChangeOptions {
  readonly pageBytes: number;
  /** Changes are told of after the base pages of a segment of so many bytes. */
  readonly segmentBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** Hears how many bytes of how many have been looked at. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Compares two images byte by byte. Without a base, every page of the next image is a change. Returns how many pages changed. Throws `image`, and the
 * signal's reason.
 */
export async function visitChanges(
  base: ImageSource | undefined,
  next: ImageSource,
  { pageBytes, segmentBytes, signal, onProgress }: ChangeOptions,
  visitor: ChangeVisitor,
): Promise<number> {
  const { arena, scan, bitmap } = await createKernels();
  const windowPages = WINDOW_BYTES / pageBytes;
  const before = arena.allocate(WINDOW_BYTES);
  const now = arena.allocate(WINDOW_BYTES);
  const differs = arena.allocateBitmap(windowPages);
  const zero = arena.allocateBitmap(windowPages);
  const nextPages = Math.ceil(next.byteLength / pageBytes);
  const total = Math.max(base?.byteLength ?? 0, next.byteLength);
  /** The segment's changes: first page and page count in turn. */
  let runs: number[] = [];
  let changedPages = 0;

  const compareWindows = (): WindowComparison => {
    if (scan.compare(before, now, pageBytes, differs) > 0) return "different";
    return scan.zero(now, pageBytes, zero) === windowPages ? "zero" : "equal";
  };

  const compare = (position: number): unknown => {
    const firstPage = position / pageBytes;
    const pages = Math.min(windowPages, nextPages - firstPage);
    if (base === undefined) {
      runs.push(firstPage, pages);
      return undefined;
    }
    base.read(position, before.bytes);
    next.read(position, now.bytes);
    const comparison = compareWindows();
    const told = visitor.window?.(before.bytes, now.bytes, comparison);
    if (pages <= 0 || comparison === "zero") return told;
    const byteLength = pages * pageBytes;
    if (next.byteLength < position + WINDOW_BYTES) {
      // Where the next image is shorter, the base's bytes behind its end are cut off first of all.
      before.bytes.fill(0, next.byteLength - position);
      compareWindows();
    }
    visitor.base(firstPage, before.bytes.subarray(0, byteLength));
    for (let run = bitmap.nextRun(differs, pages, 0); run !== undefined; ) {
      runs.push(firstPage + run.start, run.length);
      run = bitmap.nextRun(differs, pages, run.start + run.length);
    }
    return told;
  };

  const tell = (): void => {
    for (let run = 0; run < runs.length; run += 2) {
      const firstPage = runs[run] as number;
      const pages = now.bytes.subarray(0, (runs[run + 1] as number) * pageBytes);
      next.read(firstPage * pageBytes, pages);
      visitor.changed(firstPage, pages);
      changedPages += runs[run + 1] as number;
    }
    runs = [];
  };

  for (let position = 0; position < total; position += WINDOW_BYTES) {
    if (position % segmentBytes === 0) tell();
    await compare(position);
    onProgress?.(Math.min(position + WINDOW_BYTES, total), total);
    await nextTurn();
    signal?.throwIfAborted();
  }
  tell();
  base?.checkUnchanged();
  next.checkUnchanged();
  return changedPages;
}
