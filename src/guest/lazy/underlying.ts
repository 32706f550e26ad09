import { closeSync, fstatSync, ftruncateSync, openSync, rmSync } from "node:fs";
import { GuestError } from "../errors.js";
import { prepareMountPoint } from "../fuse/mounting.js";

/** A memory file that shall be there before its content is. */
export interface LazyFile {
  readonly path: string;
  readonly byteLength: number;
}

/** The regular file at the same path, which the mount will hide: it takes up what arrives. */
export interface UnderlyingFile extends LazyFile {
  /** The descriptor. */
  readonly file: number;
  /** Made for this. */
  readonly isNew: boolean;
}

/**
 * Opens what lies below a memory file, and makes it where there is nothing. What it holds stays. Throws `lazy-unavailable` where something is mounted there that
 * is alive, and `argument` where there is a file of another length.
 */
export async function openUnderlying(
  { path, byteLength }: LazyFile,
  onNotice: (sentence: string) => void,
): Promise<UnderlyingFile> {
  const { path: place, isNew } = await prepareMountPoint(path, onNotice);
  let file: number | undefined;
  try {
    file = openSync(place, "r+");
    const { size } = fstatSync(file);
    if (size !== 0 && size !== byteLength) {
      throw new GuestError("argument", `${place} is there already, and has ${size} bytes, not ${byteLength}.`);
    }
    ftruncateSync(file, byteLength);
    return { path: place, byteLength, file, isNew };
  } catch (cause) {
    if (file !== undefined) closeSync(file);
    if (isNew) rmSync(place, { force: true });
    if (cause instanceof GuestError) throw cause;
    const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
    throw new GuestError("argument", `${place} cannot become a machine's memory: ${why}.`, { cause });
  }
}
