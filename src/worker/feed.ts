import type { Progress } from "../migration/progress.js";
import type { MachineOutput } from "./machine.js";
import type { MachineNews } from "./messages.js";

/** News of many small things goes once in so many ms: about once a frame. */
const EVERY_MS = 16;
const LEAST_ROOM = 4096;

/** Collects what happens by the byte and by the page, and tells it in pieces. */
export class Feed implements MachineOutput {
  readonly #tell: (news: MachineNews, transfer: Transferable[]) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #console = new Uint8Array(LEAST_ROOM);
  #consoleBytes = 0;
  #pages = new Uint32Array(LEAST_ROOM);
  #classes = new Uint8Array(LEAST_ROOM);
  #pageCount = 0;
  #round = 0;
  #progress: Progress | undefined;

  constructor(tell: (news: MachineNews, transfer: Transferable[]) => void) {
    this.#tell = tell;
  }

  print(byte: number): void {
    if (this.#consoleBytes === this.#console.length) this.#console = grown(this.#console, 1);
    this.#console[this.#consoleBytes++] = byte;
    this.#flushSoon();
  }

  printPast(bytes: Uint8Array): void {
    this.flush();
    const copy = bytes.slice();
    this.#tell({ news: "console", bytes: copy, isPast: true }, [copy.buffer]);
  }

  answer(line: string): void {
    this.#tell({ news: "answer", line }, []);
  }

  progress(progress: Progress): void {
    this.#progress = progress;
    this.#flushSoon();
  }

  pages(pages: Uint32Array, classes: Uint8Array, round: number): void {
    if (round !== this.#round) this.flush();
    this.#round = round;
    if (this.#pageCount + pages.length > this.#pages.length) {
      this.#pages = grown(this.#pages, pages.length);
      this.#classes = grown(this.#classes, pages.length);
    }
    this.#pages.set(pages, this.#pageCount);
    this.#classes.set(classes, this.#pageCount);
    this.#pageCount += pages.length;
    this.#flushSoon();
  }

  /** Tells all that there is. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#consoleBytes > 0) {
      const bytes = this.#console.slice(0, this.#consoleBytes);
      this.#consoleBytes = 0;
      this.#tell({ news: "console", bytes, isPast: false }, [bytes.buffer]);
    }
    if (this.#pageCount > 0) {
      const pages = this.#pages.slice(0, this.#pageCount);
      const classes = this.#classes.slice(0, this.#pageCount);
      this.#pageCount = 0;
      this.#tell({ news: "pages", round: this.#round, pages, classes }, [pages.buffer, classes.buffer]);
    }
    if (this.#progress !== undefined) this.#tell({ news: "progress", progress: this.#progress }, []);
    this.#progress = undefined;
  }

  #flushSoon(): void {
    this.#timer ??= setTimeout(() => this.flush(), EVERY_MS);
  }
}

/** The same content with room for so much more, at least twice as much. */
function grown<List extends Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>(list: List, more: number): List {
  const larger = new (list.constructor as new (length: number) => List)(Math.max(2 * list.length, list.length + more));
  larger.set(list);
  return larger;
}
