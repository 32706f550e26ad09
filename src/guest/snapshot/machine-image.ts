import * as v from "valibot";
import { machineSchema } from "../../wire/messages.js";
import { GuestError } from "../errors.js";
import type { ImageSource } from "../file/source.js";
import type { Machine } from "../guest.js";

/*
 * A machine image is a paused machine as one row of bytes, made to be patched:
 *
 *     0        "pageferry machine", line feed, JSON { version, stateBytes, machine }, zeros
 *     65536    the memory: regions in their order, each filled up with zeros to whole pages
 *              the state, filled up with zeros to whole pages
 *
 * The header's length is fixed and the state comes last, so that every page of the memory has the same place in all images of one machine,
 * whatever its state's length.
 */
const MAGIC = "pageferry machine\n";
export const IMAGE_HEADER_BYTES: number = 64 << 10;
const VERSION = 1;

/** What a machine image consists of. */
export interface MachineImageLayout {
  readonly machine: Machine;
  readonly stateBytes: number;
  /** Where each region begins, and behind them the state. */
  readonly regionPositions: readonly number[];
  readonly statePosition: number;
  readonly imageBytes: number;
}

const versioned = v.object({ version: v.number() });
const schema = v.strictObject({
  version: v.literal(VERSION),
  stateBytes: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER)),
  machine: machineSchema,
});

/** Where everything of a machine has its place. */
export function layoutOf(machine: Machine, stateBytes: number): MachineImageLayout {
  const padded = (bytes: number): number => Math.ceil(bytes / machine.pageBytes) * machine.pageBytes;
  const regionPositions: number[] = [];
  let end = IMAGE_HEADER_BYTES;
  for (const { byteLength } of machine.regions) {
    regionPositions.push(end);
    end += padded(byteLength);
  }
  return { machine, stateBytes, regionPositions, statePosition: end, imageBytes: end + padded(stateBytes) };
}

/** The header of an image. Throws `argument` where the machine's description is too long for it. */
export function encodeImageHeader({ machine, stateBytes }: MachineImageLayout): Uint8Array {
  const { name, kind, pageBytes, regions, configuration } = machine;
  const json = { version: VERSION, stateBytes, machine: { name, kind, pageBytes, regions, configuration } };
  const text = new TextEncoder().encode(MAGIC + JSON.stringify(json));
  if (text.length > IMAGE_HEADER_BYTES) {
    throw new GuestError("argument", "The description of this machine is too long for a snapshot.");
  }
  const header = new Uint8Array(IMAGE_HEADER_BYTES);
  header.set(text);
  return header;
}

/** Reads and checks an image's header, and that the image has the length that follows from it. Throws `snapshot-malformed`. */
export function readImageLayout(image: Pick<ImageSource, "byteLength" | "read">): MachineImageLayout {
  const bytes = new Uint8Array(IMAGE_HEADER_BYTES);
  image.read(0, bytes);
  const layout = decodeHeader(bytes);
  if (image.byteLength !== layout.imageBytes) {
    throw snapshotMalformed(`it has ${image.byteLength} bytes where its machine needs ${layout.imageBytes}`);
  }
  return layout;
}

/** The error for a snapshot that is none. */
export function snapshotMalformed(reason: string, cause?: unknown): GuestError {
  const because = reason.replace(/\.$/, "");
  return new GuestError("snapshot-malformed", `The snapshot is damaged or none at all: ${because}.`, { cause });
}

function decodeHeader(bytes: Uint8Array): MachineImageLayout {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  let value: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, end));
    if (!text.startsWith(MAGIC)) throw snapshotMalformed("it holds something else than a machine");
    value = JSON.parse(text.slice(MAGIC.length));
  } catch (cause) {
    throw cause instanceof GuestError ? cause : snapshotMalformed("what it says of its machine is not JSON", cause);
  }
  const version = v.safeParse(versioned, value);
  if (version.success && version.output.version > VERSION) {
    throw new GuestError(
      "snapshot-malformed",
      "The snapshot was made by a newer version of pageferry; update this one.",
    );
  }
  const result = v.safeParse(schema, value);
  if (!result.success) throw snapshotMalformed("what it says of its machine cannot be");
  return layoutOf(result.output.machine, result.output.stateBytes);
}
