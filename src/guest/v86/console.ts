import { GuestError } from "../errors.js";
import { type SerialPort, type V86Emulator, watchEmulator } from "./emulator.js";

/** What has been printed and not been waited for is kept up to here; older text is dropped. */
const MAX_KEPT_CHARACTERS = 65536;

/** A serial port of a machine, used as its console: bytes are characters (Latin-1). */
export class SerialConsole {
  readonly #emulator: V86Emulator;
  readonly #port: SerialPort;
  readonly #arrivals = new Set<() => void>();
  #text = "";
  #isLookingSoon = false;

  /** Default: the first port. */
  constructor(emulator: V86Emulator, port: SerialPort = 0) {
    this.#emulator = emulator;
    this.#port = port;
    emulator.add_listener(outputEvent(port), this.#receive);
  }

  /** What has been printed since the last match. */
  get text(): string {
    return this.#text;
  }

  write(text: string): void {
    this.#emulator.serial_send_bytes(
      this.#port,
      Uint8Array.from(text, (character) => character.charCodeAt(0)),
    );
  }

  writeLine(line: string): void {
    this.write(`${line}\n`);
  }

  /**
   * Waits until what has been printed since the last match has a part that matches, and forgets all up to its end. Throws `guest-failed` when
   * nothing of the kind is printed within `timeoutMs`, or the machine fails.
   */
  async waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let arrive: () => void = () => undefined;
    const found = new Promise<RegExpExecArray>((resolve) => {
      arrive = () => {
        const match = pattern.exec(this.#text);
        if (match === null) return;
        this.#arrivals.delete(arrive);
        this.#text = this.#text.slice(match.index + match[0].length);
        resolve(match);
      };
      this.#arrivals.add(arrive);
      arrive();
    });
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const message = `The guest printed nothing like ${pattern} within ${timeoutMs} ms.`;
        reject(new GuestError("guest-failed", message));
      }, timeoutMs);
    });
    const failed = watchEmulator(this.#emulator).failed.then((failure) => {
      throw failure;
    });
    try {
      return await Promise.race([found, late, failed]);
    } finally {
      clearTimeout(timer);
      this.#arrivals.delete(arrive);
    }
  }

  close(): void {
    this.#emulator.remove_listener(outputEvent(this.#port), this.#receive);
  }

  readonly #receive = (byte: number): void => {
    this.#text += String.fromCharCode(byte);
    if (this.#text.length > 2 * MAX_KEPT_CHARACTERS) this.#text = this.#text.slice(-MAX_KEPT_CHARACTERS);
    if (this.#isLookingSoon || this.#arrivals.size === 0) return;
    this.#isLookingSoon = true;
    // Once for all that the machine prints in one slice of its work, and not for every byte.
    queueMicrotask(() => {
      this.#isLookingSoon = false;
      for (const arrive of this.#arrivals) arrive();
    });
  };
}

/** The event of an emulator that tells every byte that comes out of a serial port. */
export function outputEvent(port: SerialPort): string {
  return `serial${port}-output-byte`;
}
