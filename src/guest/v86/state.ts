import { GuestError } from "../errors.js";
import { PAGE_BYTES, type V86Emulator, type V86Processor } from "./emulator.js";

/*
 * A saved state of v86 (its src/state.js), little-endian, every part at a multiple of 4:
 *
 *     0   magic 0x86768676
 *     4   version 6
 *     8   bytes in all
 *     12  bytes of the JSON
 *     16  JSON { buffer_infos: [{ offset, length }], state: […] }
 *         buffers, their offsets counted from the first one
 *
 * In `state`, a typed array stands as { __state_type__, buffer_id }. state[0] is the size of the memory, state[77] its pages that are not zero,
 * one after another, and state[78] the bitmap that says which these are. A state without memory has no pages and a bitmap of zeros, and is as
 * such a state of v86: of a machine whose memory is all zero.
 */
const MAGIC = 0x8676_8676;
const VERSION = 6;
const HEADER_BYTES = 16;
const MEMORY_BYTES_SLOT = 0;
const PAGES_SLOT = 77;
const BITMAP_SLOT = 78;

/** v86's own states have 7 kB; a disk that is loaded on demand adds some 100 bytes for every block that was written. */
const MAX_JSON_BYTES: number = 4 << 20;
/** v86's own states have 5. */
const MAX_DEPTH = 32;
const ARRAY_TYPES: ReadonlySet<unknown> = new Set(
  [Uint8Array, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array, Float32Array, Float64Array].map(
    (type) => type.name,
  ),
);

interface BufferInfo {
  readonly offset: number;
  readonly length: number;
}

interface ParsedState {
  readonly infos: readonly BufferInfo[];
  readonly slots: readonly unknown[];
  /** The buffers, a view of the state. */
  readonly block: Uint8Array;
  readonly pages: BufferInfo;
  readonly bitmap: BufferInfo;
}

/** CPU and devices of a stopped machine as a state of v86 without memory. Throws `state-malformed` where v86 saves something unknown. */
export async function saveState(emulator: V86Emulator, memoryBytes: number): Promise<Uint8Array> {
  const processor = emulator.v86?.cpu;
  if (!packsMemory(processor)) return removeMemory(new Uint8Array(await emulator.save_state()), memoryBytes);
  const pack = processor.pack_memory;
  const bitmap = new ArrayBuffer(memoryBytes / PAGE_BYTES / 8);
  processor.pack_memory = () => ({ bitmap: { get_buffer: () => bitmap }, packed_memory: new Uint8Array(0) });
  let saving: Promise<ArrayBuffer>;
  try {
    // The state is made during the call; only its way back is a promise.
    saving = emulator.save_state();
  } finally {
    processor.pack_memory = pack;
  }
  return removeMemory(new Uint8Array(await saving), memoryBytes);
}

/**
 * Loads a state without memory into a stopped machine and leaves its memory as it is. The state may come from anywhere: throws
 * `state-malformed` where it is not one, after which the machine must not be run.
 */
export async function loadState(emulator: V86Emulator, state: Uint8Array, memoryBytes: number): Promise<void> {
  if (parseState(state, memoryBytes).pages.length !== 0) throw malformed("it holds memory");
  const copy = state.slice().buffer as ArrayBuffer;
  try {
    const processor = emulator.v86?.cpu;
    if (packsMemory(processor)) {
      const unpack = processor.unpack_memory;
      processor.unpack_memory = () => undefined;
      try {
        await emulator.restore_state(copy);
      } finally {
        processor.unpack_memory = unpack;
      }
    } else {
      const memory = emulator.read_memory(0, memoryBytes).slice();
      await emulator.restore_state(copy);
      emulator.write_memory(memory, 0);
    }
  } catch (cause) {
    throw malformed("v86 does not take it", cause);
  }
}

/** A state of v86 without the memory in it. Throws `state-malformed`. */
export function removeMemory(state: Uint8Array, memoryBytes: number): Uint8Array {
  const { infos, slots, block, pages, bitmap } = parseState(state, memoryBytes);
  if (pages.length === 0) return state;
  const removedBytes = align(pages.length);
  const movedInfos = infos.map((info) => {
    if (info === pages) return { offset: info.offset, length: 0 };
    return info.offset > pages.offset ? { offset: info.offset - removedBytes, length: info.length } : info;
  });
  const json = new TextEncoder().encode(JSON.stringify({ buffer_infos: movedInfos, state: slots }));
  const start = align(HEADER_BYTES + json.length);
  const stripped = new Uint8Array(start + block.length - removedBytes);
  const header = new DataView(stripped.buffer);
  for (const [word, value] of [MAGIC, VERSION, stripped.length, json.length].entries()) {
    header.setUint32(word * 4, value, true);
  }
  stripped.set(json, HEADER_BYTES);
  stripped.set(block.subarray(0, pages.offset), start);
  stripped.set(block.subarray(pages.offset + removedBytes), start + pages.offset);
  const bitmapStart = start + (movedInfos[infos.indexOf(bitmap)] as BufferInfo).offset;
  stripped.fill(0, bitmapStart, bitmapStart + bitmap.length);
  return stripped;
}

function packsMemory(
  processor: V86Processor | undefined,
): processor is V86Processor & Required<Pick<V86Processor, "pack_memory" | "unpack_memory">> {
  return typeof processor?.pack_memory === "function" && typeof processor.unpack_memory === "function";
}

function parseState(state: Uint8Array, memoryBytes: number): ParsedState {
  if (state.length < HEADER_BYTES) throw malformed("it is shorter than its header");
  const header = new DataView(state.buffer, state.byteOffset, HEADER_BYTES);
  const [magic, version, totalBytes, jsonBytes] = [0, 4, 8, 12].map((at) => header.getUint32(at, true));
  if (magic !== MAGIC) throw malformed("it does not begin like one");
  if (version !== VERSION) throw malformed(`it has version ${version} where ${VERSION} is known`);
  if (totalBytes !== state.length) throw malformed(`it has ${state.length} bytes and says ${totalBytes}`);
  const start = align(HEADER_BYTES + (jsonBytes as number));
  if ((jsonBytes as number) > MAX_JSON_BYTES || start > state.length) {
    throw malformed(`it says that ${jsonBytes} bytes of JSON follow`);
  }
  const block = state.subarray(start);
  const { buffer_infos: infos, state: slots } = parseJson(
    state.subarray(HEADER_BYTES, HEADER_BYTES + (jsonBytes as number)),
  );
  checkInfos(infos, block.length);
  if (!Array.isArray(slots)) throw malformed("it has no list of parts");
  checkValue(slots, infos.length, 0);
  if (slots[MEMORY_BYTES_SLOT] !== memoryBytes) throw malformed(`it is not of a machine with ${memoryBytes} bytes`);
  const [pages, bitmap] = [PAGES_SLOT, BITMAP_SLOT].map((slot) => bufferOf(slots[slot], infos));
  if (pages === undefined || bitmap === undefined || pages === bitmap) throw malformed("it says nothing of memory");
  if (bitmap.length !== memoryBytes / PAGE_BYTES / 8) throw malformed("its bitmap is not of the memory's size");
  const pageCount = countBits(block.subarray(bitmap.offset, bitmap.offset + bitmap.length));
  if (pages.length !== pageCount * PAGE_BYTES) {
    throw malformed(`it has ${pages.length} bytes of memory for ${pageCount} pages`);
  }
  return { infos, slots, block, pages, bitmap };
}

function parseJson(bytes: Uint8Array): { buffer_infos?: unknown; state?: unknown } {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value !== null) return value;
  } catch (cause) {
    throw malformed("its JSON cannot be read", cause);
  }
  throw malformed("its JSON is not an object");
}

/** Buffers in order and apart: v86 copies each of them, so that overlapping ones would be a way to fill the memory. */
function checkInfos(infos: unknown, blockBytes: number): asserts infos is BufferInfo[] {
  if (!Array.isArray(infos)) throw malformed("it has no list of buffers");
  let end = 0;
  for (const info of infos as Partial<BufferInfo | null>[]) {
    const { offset, length } = info ?? {};
    const isValid = isSize(offset) && isSize(length) && offset % 4 === 0 && offset >= end;
    if (!isValid || offset + length > blockBytes) throw malformed("a buffer is not where it can be");
    end = offset + length;
  }
}

/** v86 makes typed arrays of what it finds: only buffers that are there may be named, never a length to be made up. */
function checkValue(value: unknown, bufferCount: number, depth: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depth > MAX_DEPTH) throw malformed("its parts are nested too deep");
  if (Array.isArray(value)) {
    for (const part of value) checkValue(part, bufferCount, depth + 1);
    return;
  }
  const { __state_type__: type, buffer_id: id, args } = value as Record<string, unknown>;
  const isMap = type === "Map" && id === undefined && Array.isArray(args);
  const isArray = ARRAY_TYPES.has(type) && args === undefined && isSize(id) && id < bufferCount;
  if (!isMap && !isArray) throw malformed("it holds something of an unknown type");
  if (isMap) checkValue(args, bufferCount, depth + 1);
}

function bufferOf(value: unknown, infos: readonly BufferInfo[]): BufferInfo | undefined {
  const { __state_type__: type, buffer_id: id } = (value ?? {}) as Record<string, unknown>;
  return type === "Uint8Array" ? infos[id as number] : undefined;
}

function countBits(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function align(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function malformed(reason: string, cause?: unknown): GuestError {
  return new GuestError("state-malformed", `This is no state of a v86 machine without its memory: ${reason}.`, {
    cause,
  });
}
