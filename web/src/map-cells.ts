import { Cell, cellOfClass } from "./memory-classes.js";

/** Larger machines have several pages in a cell. */
const MAX_CELLS = 32_768;
/** How long a page shows as dirty when it comes again, and how long what was sent shines. */
const DIRTY_MS = 260;
const SHINE_MS = 420;

/** How a cell shows at a moment. */
export interface CellShade {
  readonly cell: Cell;
  /** It was found changed again a moment ago. */
  readonly isDirty: boolean;
  /** How much it shines, from 1 down to 0. */
  readonly shine: number;
}

/** What is known of one page. */
export interface PageStory {
  readonly page: number;
  readonly cell: Cell;
  /** The round in which it travelled last, and how often it did. */
  readonly round: number;
  readonly timesSent: number;
}

/** The state of every page and cell of the memory map, without anything of how it is drawn. Times are in ms of any one clock. */
export class MapCells {
  readonly pageCount: number;
  readonly pagesPerCell: number;
  readonly cellCount: number;
  /** How often pages have travelled, by class. */
  readonly travels: Uint32Array = new Uint32Array(Cell.same + 1);
  /** Pages that have travelled more than once. */
  pagesAgain = 0;
  /** Pages that have not travelled, since there was no need. */
  pagesPassedOver = 0;
  readonly #classes: Uint8Array;
  readonly #rounds: Uint16Array;
  readonly #timesSent: Uint16Array;
  /** Of each cell: the page that travelled last, when, and whether it was for another time. */
  readonly #newestPage: Uint32Array;
  readonly #changedMs: Float64Array;
  readonly #isAgain: Uint8Array;
  readonly #active: Set<number> = new Set();
  readonly #movesAtAll: boolean;

  /** `isStill`: cells take their new colour at once, for those who want no motion. */
  constructor(pageCount: number, isStill = false) {
    this.pageCount = pageCount;
    this.pagesPerCell = Math.max(1, Math.ceil(pageCount / MAX_CELLS));
    this.cellCount = Math.ceil(pageCount / this.pagesPerCell);
    this.#classes = new Uint8Array(pageCount);
    this.#rounds = new Uint16Array(pageCount);
    this.#timesSent = new Uint16Array(pageCount);
    this.#newestPage = Uint32Array.from({ length: this.cellCount }, (_, cell) => cell * this.pagesPerCell);
    this.#changedMs = new Float64Array(this.cellCount).fill(Number.NEGATIVE_INFINITY);
    this.#isAgain = new Uint8Array(this.cellCount);
    this.#movesAtAll = !isStill;
  }

  /** Cells that look otherwise than when they were drawn last. */
  get active(): Iterable<number> {
    return this.#active;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  /** Pages that travel now. Numbers beyond the memory are left out. */
  send(pages: Uint32Array, classes: Uint8Array, round: number, nowMs: number): void {
    for (let index = 0; index < pages.length; index++) {
      const page = pages[index] as number;
      if (page >= this.pageCount) continue;
      const cell = Math.floor(page / this.pagesPerCell);
      const pageClass = cellOfClass(classes[index] ?? Cell.novel);
      const sent = (this.#timesSent[page] as number) + 1;
      this.travels[pageClass] = (this.travels[pageClass] as number) + 1;
      if (sent === 2) this.pagesAgain += 1;
      if (sent === 1 && this.#classes[page] === Cell.same) this.pagesPassedOver -= 1;
      this.#classes[page] = pageClass;
      this.#rounds[page] = round;
      this.#timesSent[page] = sent;
      this.#newestPage[cell] = page;
      this.#changedMs[cell] = nowMs;
      this.#isAgain[cell] = sent > 1 ? 1 : 0;
      this.#active.add(cell);
    }
  }

  /** The first round has looked at all pages before this one: those that did not travel need not. */
  passOver(from: number, to: number): void {
    for (let page = from; page < Math.min(to, this.pageCount); page++) {
      if (this.#classes[page] !== Cell.waiting) continue;
      this.#classes[page] = Cell.same;
      this.pagesPassedOver += 1;
      this.#active.add(Math.floor(page / this.pagesPerCell));
    }
  }

  shade(cell: number, nowMs: number): CellShade {
    const pageClass = this.#classes[this.#newestPage[cell] as number] as Cell;
    // A frame's time may be a little before that of what it shows.
    const ageMs = Math.max(0, nowMs - (this.#changedMs[cell] as number));
    if (!this.#movesAtAll) return { cell: pageClass, isDirty: false, shine: 0 };
    const dirtyMs = this.#isAgain[cell] === 1 ? DIRTY_MS : 0;
    if (ageMs < dirtyMs) return { cell: pageClass, isDirty: true, shine: 0 };
    return { cell: pageClass, isDirty: false, shine: Math.max(0, 1 - (ageMs - dirtyMs) / SHINE_MS) };
  }

  /** A cell has been drawn as it is to stay. */
  settle(cell: number): void {
    this.#active.delete(cell);
  }

  /** The page of a cell that travelled last, or its first. */
  pageOf(cell: number): PageStory {
    const page = this.#newestPage[cell] as number;
    return {
      page,
      cell: this.#classes[page] as Cell,
      round: this.#rounds[page] as number,
      timesSent: this.#timesSent[page] as number,
    };
  }
}
