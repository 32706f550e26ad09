import type { Arena, Span } from "../../src/index.js";

const GUARD_BYTES = 96;
const GUARD = 0xa5;

/** A span with guard bytes round it. */
export interface Guarded {
  readonly span: Span;
  /** Whether the bytes before and behind the span are as they were. */
  isIntact(): boolean;
}

/** Allocates `byteLength` bytes between guards, `misalignment` bytes past a cache line. */
export function guarded(arena: Arena, byteLength: number, misalignment = 0): Guarded {
  const room = arena.allocate(byteLength + 2 * GUARD_BYTES + misalignment);
  const start = 64 + misalignment;
  const restore = (): void => {
    room.bytes.fill(GUARD, 0, start);
    room.bytes.fill(GUARD, start + byteLength);
  };
  restore();
  return {
    span: arena.spanOf(room.bytes.subarray(start, start + byteLength)),
    isIntact() {
      const { bytes } = room;
      for (let at = 0; at < start; at++) if (bytes[at] !== GUARD) return false;
      for (let at = start + byteLength; at < bytes.length; at++) if (bytes[at] !== GUARD) return false;
      return true;
    },
  };
}
