import * as v from "valibot";
import { BATCH_HEADER_BYTES, BATCH_MAX_INDEX_BYTES, BATCH_MAX_RESIDUAL_BYTES } from "../../wire/batch.js";
import type { Checksum } from "../../wire/checksum.js";
import { WireError } from "../../wire/errors.js";
import { encodeFrame, FrameParser } from "../../wire/frame.js";
import { GuestError } from "../errors.js";
import { BATCH_TYPE, HEADER_BYTES, HEADER_TYPE, isPatch, PATCH_HEADER_BYTES, PATCH_MAGIC } from "./patch-layout.js";
import { WINDOW_BYTES } from "./source.js";

export { PATCH_HEADER_BYTES };

/** The types of a patch's frames, each with the most bytes of its body. */
export const PATCH_FRAMES: ReadonlyMap<number, number> = new Map([
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

/** Where a patch is written to. */
export interface PatchOutput {
  write(position: number, bytes: Uint8Array): void;
}

/** Writes a patch, batch by batch. Every method throws what the output does. */
export class PatchWriter {
  readonly #output: PatchOutput;
  readonly #checksum: Checksum;
  #end: number = PATCH_HEADER_BYTES;
  #batches = 0;

  constructor(output: PatchOutput, checksum: Checksum) {
    this.#output = output;
    this.#checksum = checksum;
  }

  add(batch: Uint8Array): void {
    const frame = encodeFrame(this.#checksum, BATCH_TYPE, 0, batch);
    this.#output.write(this.#end, frame);
    this.#end += frame.length;
    this.#batches += 1;
  }

  /** Writes the header, which makes it a patch. Returns what it says. */
  finish(header: Omit<PatchHeader, "batches" | "patchBytes">): PatchHeader {
    const complete = { ...header, batches: this.#batches, patchBytes: this.#end };
    const json = { format: "pageferry patch", version: VERSION, ...complete };
    const body = new TextEncoder().encode(JSON.stringify(json).padEnd(HEADER_BYTES));
    this.#output.write(PATCH_MAGIC.length, encodeFrame(this.#checksum, HEADER_TYPE, 0, body));
    this.#output.write(0, PATCH_MAGIC);
    return complete;
  }
}

/** Where a patch is read from. */
export interface PatchInput {
  readonly byteLength: number;
  /** Reads from byte `position` on, to the end or until `into` is full; returns how many bytes. */
  read(position: number, into: Uint8Array): number;
}

/** Reads a patch, and trusts none of it. Every method throws `patch-malformed`, and what the input does. */
export class PatchReader {
  readonly header: PatchHeader;
  readonly #input: PatchInput;
  readonly #parser: FrameParser;
  readonly #chunk: Uint8Array = new Uint8Array(WINDOW_BYTES);
  #position: number = PATCH_MAGIC.length;

  constructor(input: PatchInput, checksum: Checksum) {
    this.#input = input;
    this.#parser = new FrameParser(checksum, PATCH_FRAMES);
    this.header = this.#readHeader();
    const { patchBytes } = this.header;
    if (input.byteLength !== patchBytes) {
      throw malformed(`it has ${input.byteLength} bytes where its header says ${patchBytes}`);
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

  #readHeader(): PatchHeader {
    if (!isPatch(this.#read(0, PATCH_MAGIC.length))) throw malformed("it does not begin as a patch");
    const frame = this.#nextFrame();
    if (frame?.type !== HEADER_TYPE) throw malformed("it has no header");
    return decodeHeader(frame.body);
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
    const chunk = this.#chunk.subarray(0, byteLength);
    return chunk.subarray(0, this.#input.read(position, chunk));
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
