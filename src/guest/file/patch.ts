import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import * as v from "valibot";
import { BATCH_HEADER_BYTES, BATCH_MAX_INDEX_BYTES, BATCH_MAX_RESIDUAL_BYTES } from "../../wire/batch.js";
import { type Checksum, loadChecksum } from "../../wire/checksum.js";
import { WireError } from "../../wire/errors.js";
import { encodeFrame, FRAME_HEADER_BYTES, FrameParser } from "../../wire/frame.js";
import { GuestError } from "../errors.js";
import { toImageError, WINDOW_BYTES } from "./image.js";
import { OutputFile } from "./output.js";

/*
 * A patch file makes an image of another one:
 *
 *      0   magic: "pageferry patch", line feed
 *     16   frame of type 1, its body 512 bytes: the header, JSON, filled up with spaces
 *    544   frames of type 2: batches of pages, as in src/wire/batch.ts
 *
 * Frames are those of src/wire/frame.ts, on channel 0. The header stands first, so that the base is checked before anything else, but its digests are
 * known last: it is written in its place at the end. Until then there are zeros, and the file is no patch.
 */
const MAGIC = new TextEncoder().encode("pageferry patch\n");
const HEADER_TYPE = 1;
const BATCH_TYPE = 2;
const HEADER_BYTES = 512;
const FIRST_BATCH = MAGIC.length + FRAME_HEADER_BYTES + HEADER_BYTES;
const MAX_BYTES: ReadonlyMap<number, number> = new Map([
  [HEADER_TYPE, HEADER_BYTES],
  [BATCH_TYPE, BATCH_HEADER_BYTES + BATCH_MAX_RESIDUAL_BYTES + BATCH_MAX_INDEX_BYTES],
]);
const VERSION = 1;
const MAX_PAGES = 0xffff_fffe;

/** An image, named by its content. */
export interface ImageName {
  readonly byteLength: number;
  /** As {@link ImageDigest} makes it, 64 hex digits. */
  readonly digest: string;
}

/** What a patch says of itself. */
export interface PatchHeader {
  readonly base: ImageName;
  readonly next: ImageName;
  readonly pageBytes: number;
  /** Pages that the patch writes. */
  readonly changedPages: number;
  readonly batches: number;
  /** Bytes of the whole file. */
  readonly patchBytes: number;
}

const whole = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const image = v.strictObject({ byteLength: whole, digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) });
const versioned = v.object({ format: v.literal("pageferry patch"), version: whole });
const schema = v.pipe(
  v.strictObject({
    format: v.literal("pageferry patch"),
    version: v.literal(VERSION),
    base: image,
    next: image,
    pageBytes: v.picklist([1024, 2048, 4096, 8192, 16384, 32768, 65536]),
    changedPages: whole,
    batches: whole,
    patchBytes: whole,
  }),
  v.check(({ next, pageBytes }) => Math.ceil(next.byteLength / pageBytes) <= MAX_PAGES, "more pages than can be"),
);

/** Writes a patch, batch by batch. */
export class PatchWriter {
  readonly #output: OutputFile;
  readonly #checksum: Checksum;
  #end = FIRST_BATCH;
  #batches = 0;

  private constructor(output: OutputFile, checksum: Checksum) {
    this.#output = output;
    this.#checksum = checksum;
  }

  /** Throws `image`. */
  static async create(path: string, overwrite: boolean): Promise<PatchWriter> {
    const checksum = await loadChecksum();
    return new PatchWriter(new OutputFile(path, overwrite), checksum);
  }

  add(batch: Uint8Array): void {
    const frame = encodeFrame(this.#checksum, BATCH_TYPE, 0, batch);
    this.#output.write(this.#end, frame);
    this.#end += frame.length;
    this.#batches += 1;
  }

  /** Writes the header, and the patch is there. Returns what it says. Throws `image`, and then it is still to be discarded. */
  commit(header: Omit<PatchHeader, "batches" | "patchBytes">): PatchHeader {
    const complete = { ...header, batches: this.#batches, patchBytes: this.#end };
    const json = { format: "pageferry patch", version: VERSION, ...complete };
    const body = new TextEncoder().encode(JSON.stringify(json).padEnd(HEADER_BYTES));
    this.#output.write(MAGIC.length, encodeFrame(this.#checksum, HEADER_TYPE, 0, body));
    this.#output.write(0, MAGIC);
    this.#output.commit();
    return complete;
  }

  discard(): void {
    this.#output.discard();
  }
}

/** Reads a patch, and trusts none of it. Every method throws `image` and `patch-malformed`. */
export class PatchReader {
  readonly header: PatchHeader;
  readonly #path: string;
  readonly #file: number;
  readonly #parser: FrameParser;
  readonly #chunk = new Uint8Array(WINDOW_BYTES);
  #position = MAGIC.length;

  private constructor(path: string, file: number, parser: FrameParser) {
    this.#path = path;
    this.#file = file;
    this.#parser = parser;
    if (Buffer.compare(this.#read(0, MAGIC.length), MAGIC) !== 0) throw malformed("it does not begin as a patch");
    const frame = this.#nextFrame();
    if (frame?.type !== HEADER_TYPE) throw malformed("it has no header");
    this.header = decodeHeader(frame.body);
    const { size } = fstatSync(file);
    const { patchBytes } = this.header;
    if (size !== patchBytes) throw malformed(`it has ${size} bytes where its header says ${patchBytes}`);
  }

  static async open(path: string): Promise<PatchReader> {
    const parser = new FrameParser(await loadChecksum(), MAX_BYTES);
    let file: number;
    try {
      file = openSync(path, "r");
    } catch (error) {
      throw toImageError(error, `${path} cannot be read`);
    }
    try {
      return new PatchReader(path, file, parser);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** The batches, in order; at the end as many as were announced. */
  *batches(): Generator<Uint8Array> {
    let batches = 0;
    for (let frame = this.#nextFrame(); frame !== undefined; frame = this.#nextFrame()) {
      batches += 1;
      if (frame.type !== BATCH_TYPE || batches > this.header.batches)
        throw malformed("it has more frames than it says");
      yield frame.body;
    }
    if (batches < this.header.batches) throw malformed("it has fewer batches than it says");
  }

  close(): void {
    closeSync(this.#file);
  }

  #nextFrame(): { readonly type: number; readonly body: Uint8Array } | undefined {
    try {
      for (;;) {
        const frame = this.#parser.next();
        if (frame !== undefined) {
          if (frame.channel !== 0) throw malformed("it has a frame on another channel");
          return frame;
        }
        const bytes = this.#read(this.#position, this.#chunk.length);
        if (bytes.length === 0) break;
        this.#position += bytes.length;
        this.#parser.push(bytes);
      }
    } catch (error) {
      if (error instanceof WireError) throw malformed(error.message, error);
      throw error;
    }
    if (this.#parser.isInsideFrame) throw malformed("it ends inside a frame");
    return undefined;
  }

  #read(position: number, byteLength: number): Uint8Array {
    try {
      return this.#chunk.subarray(0, readSync(this.#file, this.#chunk, 0, byteLength, position));
    } catch (error) {
      throw toImageError(error, `${this.#path} cannot be read`);
    }
  }
}

/** The error for a patch that cannot be applied, whatever its base. */
export function malformed(reason: string, cause?: unknown): GuestError {
  const because = reason.replace(/\.$/, "");
  return new GuestError("patch-malformed", `The patch is damaged or none at all: ${because}.`, { cause });
}

function decodeHeader(body: Uint8Array): PatchHeader {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw malformed("its header is not JSON", cause);
  }
  const version = v.safeParse(versioned, value);
  if (version.success && version.output.version > VERSION) {
    throw new GuestError("patch-malformed", "The patch was made by a newer version of pageferry; update this one.");
  }
  const result = v.safeParse(schema, value);
  if (!result.success) throw malformed(`its header is wrong at ${v.getDotPath(result.issues[0]) ?? "the top"}`);
  const { format, version: _, ...header } = result.output;
  return header;
}
