import { GuestError } from "../../errors.js";
import { FuseFile } from "../../fuse/file.js";
import type { FuseRead } from "../../fuse/session.js";
import { DEFAULT_MOST_READS } from "../chain/budget.js";
import { glanceAtLength } from "./glance.js";
import { LateSource } from "./late-source.js";
import { Prefetch } from "./prefetch.js";
import type { MountSource } from "./source.js";

/** How far the kernel reads ahead: much, since everything is near. */
const MAX_READ_BYTES = 1 << 20;

/** Options of {@link mountImage}. */
export interface MountOptions {
  /** Pages that take more reads than these, each of the base or of one batch of a patch, are decoded before they are read. Default 4. */
  readonly mostReads?: number | undefined;
  /** Hears what cannot be read, and what takes long, as sentences. */
  readonly onNotice: (sentence: string) => void;
}

/** An image that is mounted as a file. */
export interface MountedImage {
  readonly byteLength: number;
  /** Every page has been decoded that patches change. Rejects where the chain turns out not to be what it says: nothing can be read then. */
  readonly settled: Promise<void>;
  /** Takes the file away, also from those who have it open. Calling it again changes nothing. */
  unmount(): Promise<void>;
}

/**
 * Makes a memory image appear as the file `path`: the image `sources[0]`, or what the patches behind it make of it. The file is there at once and read-only; whoever
 * maps it privately, as virtual machines do, keeps what it writes. Pages are decoded when they are touched, and in the background. What of it is damaged is an I/O
 * error on the pages that need it, and never wrong bytes. Needs Linux and CAP_SYS_ADMIN. Throws `lazy-unavailable`, `patch-base`, `patch-malformed`, `image`.
 */
export async function mountImage(
  sources: readonly string[],
  path: string,
  { mostReads = DEFAULT_MOST_READS, onNotice }: MountOptions,
): Promise<MountedImage> {
  const [basePath, ...patchPaths] = sources;
  if (basePath === undefined) throw new GuestError("argument", "There is nothing to mount.");
  const length = patchPaths.length === 0 ? undefined : glanceAtLength(basePath, patchPaths);
  const source = new LateSource(openSource(basePath, patchPaths, length, mostReads, onNotice));
  try {
    // Where the length is known already, the file is mounted while the source is loaded.
    const byteLength = length ?? (await source.byteLength);
    const ahead = new Prefetch(byteLength);
    const onRead = (read: FuseRead): void => {
      ahead.asked(read);
      source.read(read);
    };
    const file = await FuseFile.mount({ path, byteLength, maxReadBytes: MAX_READ_BYTES, onRead, onNotice });
    source.settled.then(() => ahead.run(file, source)).catch(() => {});
    const unmount = async (): Promise<void> => {
      ahead.end();
      await file.unmount();
      await source.close();
    };
    return { byteLength, settled: source.settled, unmount };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function openSource(
  basePath: string,
  patchPaths: readonly string[],
  expectedBytes: number | undefined,
  mostReads: number,
  onNotice: (sentence: string) => void,
): Promise<MountSource> {
  if (patchPaths.length === 0) {
    const { PlainSource } = await import("./plain-source.js");
    return new PlainSource(basePath, MAX_READ_BYTES);
  }
  const { ChainSource } = await import("./chain-source.js");
  return new ChainSource({ basePath, patchPaths, mostReads }, expectedBytes, MAX_READ_BYTES, onNotice);
}
