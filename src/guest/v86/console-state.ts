import { GuestError } from "../errors.js";

/*
 * The state of a machine whose console moves along, little-endian:
 *
 *     0   u32  bytes of the console's text
 *     4        what the machine has printed on its first serial port, the end of it; filled up with zeros to a multiple of 4
 *              its state, as in state.ts
 */
const HEADER_BYTES = 4;

/** So much of what a machine has printed moves with it. */
export const CONSOLE_MAX_BYTES: number = 64 << 10;

/** A machine's state and its console's text in one. */
export function joinConsole(text: Uint8Array, state: Uint8Array): Uint8Array {
  const start = HEADER_BYTES + align(text.length);
  const joined = new Uint8Array(start + state.length);
  new DataView(joined.buffer).setUint32(0, text.length, true);
  joined.set(text, HEADER_BYTES);
  joined.set(state, start);
  return joined;
}

/** The two parts, as views. Throws `state-malformed`. */
export function splitConsole(joined: Uint8Array): { readonly text: Uint8Array; readonly state: Uint8Array } {
  const textBytes =
    joined.length < HEADER_BYTES ? undefined : new DataView(joined.buffer, joined.byteOffset).getUint32(0, true);
  if (textBytes === undefined || textBytes > CONSOLE_MAX_BYTES || HEADER_BYTES + align(textBytes) > joined.length) {
    throw new GuestError("state-malformed", "This is no state of a v86 machine with the text of its console.");
  }
  return {
    text: joined.subarray(HEADER_BYTES, HEADER_BYTES + textBytes),
    state: joined.subarray(HEADER_BYTES + align(textBytes)),
  };
}

/** Keeps the end of what a machine prints. */
export class ConsoleText {
  readonly #bytes = new Uint8Array(2 * CONSOLE_MAX_BYTES);
  #length = 0;

  /** The last {@link CONSOLE_MAX_BYTES}, as a view that holds until more is added. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(Math.max(0, this.#length - CONSOLE_MAX_BYTES), this.#length);
  }

  add(byte: number): void {
    if (this.#length === this.#bytes.length) {
      this.#bytes.copyWithin(0, this.#length - CONSOLE_MAX_BYTES);
      this.#length = CONSOLE_MAX_BYTES;
    }
    this.#bytes[this.#length++] = byte;
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
