import { setText } from "./dom.js";
import { formatCount, formatThings } from "./format.js";
import { FrameMeter } from "./frame-meter.js";
import { Legend } from "./legend.js";
import { MapCells } from "./map-cells.js";
import { Cell, CLASS_LOOKS, DIRTY_COLOR, lookOf, WAITING_COLOR } from "./memory-classes.js";

const PAGE_BYTES = 4096;
/** How large a cell may be, and how high the map, in CSS pixels. */
const CELL_SIZES = [6, 5, 4, 3, 2];
const MAX_HEIGHT = 320;
/** Numbers change this often while pages travel: nobody reads faster, and laying them out takes its time. */
const TELL_EVERY_MS = 100;
/** What is dimmed while one class is looked at keeps so much of its colour. */
const DIMMED = 0.16;
/** Between cells stands so much of their colour, so that each can be told from the next. */
const GAP = 0.5;

/** The elements that the map is made of. */
export interface MapElements {
  readonly frame: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly cursor: HTMLElement;
  readonly summary: HTMLElement;
  readonly page: HTMLElement;
  readonly legend: HTMLElement;
}

/** A colour as the canvas stores it, from `#rrggbb`. */
type Rgb = readonly [red: number, green: number, blue: number];

/** The memory map: a cell for each page, in the colour that tells how it travelled. Draws only while something changes. */
export class MemoryMap {
  readonly #elements: MapElements;
  readonly #context: CanvasRenderingContext2D;
  readonly #legend: Legend;
  readonly #frames = new FrameMeter();
  readonly #isStill = matchMedia("(prefers-reduced-motion: reduce)");
  #cells: MapCells;
  #image: ImageData;
  #pixels: Uint32Array;
  #columns = 1;
  #cellPixels = 3;
  #ratio = 1;
  #passedOver = 0;
  #isAsked = false;
  #cursorCell: number | undefined;
  #isMoving = false;
  #toldMs = 0;

  constructor(elements: MapElements, pageCount: number) {
    this.#elements = elements;
    this.#context = elements.canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    this.#cells = new MapCells(pageCount, this.#isStill.matches);
    this.#image = new ImageData(1, 1);
    this.#pixels = new Uint32Array(1);
    this.#legend = new Legend(elements.legend, () => this.#repaint());
    new ResizeObserver(() => this.#layOut()).observe(elements.frame);
    this.#layOut();
    this.#listen();
  }

  /** Forgets everything: a machine begins to move. */
  begin(): void {
    this.#isMoving = true;
    this.#frames.begin();
    this.#empty(this.#cells.pageCount);
  }

  /** Pages travel, in a round. */
  send(pages: Uint32Array, classes: Uint8Array, round: number): void {
    this.#cells.send(pages, classes, round, performance.now());
    this.#askForFrame();
  }

  /** So many pages of all have been looked at in this round. */
  scanned(pageCount: number, pagesTotal: number, round: number): void {
    if (pagesTotal !== this.#cells.pageCount) this.#empty(pagesTotal);
    const upTo = round === 0 ? pageCount : pagesTotal;
    if (upTo <= this.#passedOver) return;
    this.#cells.passOver(this.#passedOver, upTo);
    this.#passedOver = upTo;
    this.#askForFrame();
  }

  /** The move is over, well or not. Returns how many frames a second were drawn meanwhile. */
  end(): number | undefined {
    this.#isMoving = false;
    this.#askForFrame();
    return this.#frames.end();
  }

  #empty(pageCount: number): void {
    this.#cells = new MapCells(pageCount, this.#isStill.matches);
    this.#passedOver = 0;
    this.#layOut();
    this.#askForFrame();
  }

  #listen(): void {
    const { canvas, frame } = this.#elements;
    frame.tabIndex = 0;
    canvas.addEventListener("pointermove", (event) => this.#pointAt(this.#cellAt(event)));
    canvas.addEventListener("pointerdown", (event) => this.#pointAt(this.#cellAt(event)));
    canvas.addEventListener("pointerleave", () => this.#pointAt(undefined));
    frame.addEventListener("blur", () => this.#pointAt(undefined));
    frame.addEventListener("keydown", (event) => {
      const steps: Readonly<Record<string, number>> = {
        ArrowLeft: -1,
        ArrowRight: 1,
        ArrowUp: -this.#columns,
        ArrowDown: this.#columns,
        PageUp: -8 * this.#columns,
        PageDown: 8 * this.#columns,
        Home: Number.NEGATIVE_INFINITY,
        End: Number.POSITIVE_INFINITY,
      };
      const step = steps[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const from = this.#cursorCell ?? -step;
      const to = Number.isFinite(step) ? from + step : step;
      this.#pointAt(Math.min(this.#cells.cellCount - 1, Math.max(0, Number.isNaN(to) ? 0 : to)));
    });
  }

  /** Makes the cells as large as the height allows, in whole pixels of the screen. */
  #layOut(): void {
    const { frame, canvas } = this.#elements;
    const width = frame.clientWidth;
    if (width === 0) return;
    const count = this.#cells.cellCount;
    const size = CELL_SIZES.find((css) => Math.ceil(count / Math.floor(width / css)) * css <= MAX_HEIGHT) ?? 2;
    this.#ratio = devicePixelRatio;
    this.#cellPixels = Math.max(2, Math.round(size * this.#ratio));
    this.#columns = Math.max(1, Math.floor((width * this.#ratio) / this.#cellPixels));
    const rows = Math.ceil(count / this.#columns);
    canvas.width = this.#columns * this.#cellPixels;
    canvas.height = rows * this.#cellPixels;
    canvas.style.width = `${canvas.width / this.#ratio}px`;
    canvas.style.height = `${canvas.height / this.#ratio}px`;
    this.#image = this.#context.createImageData(canvas.width, canvas.height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    this.#repaint();
    this.#pointAt(this.#cursorCell === undefined ? undefined : Math.min(this.#cursorCell, count - 1));
  }

  #repaint(): void {
    this.#pixels.fill(packed(rgb("#10151c")));
    const now = performance.now();
    for (let cell = 0; cell < this.#cells.cellCount; cell++) this.#paint(cell, now);
    this.#context.putImageData(this.#image, 0, 0);
    this.#tell();
  }

  #askForFrame(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    requestAnimationFrame((now) => {
      this.#isAsked = false;
      this.#draw(now);
    });
  }

  #draw(now: number): void {
    if (this.#isMoving) this.#frames.frame(now);
    const hadWork = this.#cells.activeCount > 0;
    for (const cell of this.#cells.active) {
      if (this.#paint(cell, now)) this.#cells.settle(cell);
    }
    if (hadWork) this.#context.putImageData(this.#image, 0, 0);
    if (now - this.#toldMs >= TELL_EVERY_MS || !this.#isMoving) {
      this.#toldMs = now;
      this.#tell();
    }
    if (this.#isMoving || this.#cells.activeCount > 0) this.#askForFrame();
  }

  /** Writes one cell's pixels, darker towards the next; true where it will look the same from now on. */
  #paint(cell: number, now: number): boolean {
    const shade = this.#cells.shade(cell, now);
    const chosen = this.#legend.chosen;
    const isChosen =
      chosen === undefined || (chosen === "again" ? this.#cells.pageOf(cell).timesSent > 1 : chosen === shade.cell);
    const color = shade.isDirty ? DIRTY : (COLORS[shade.cell] as Rgb);
    const pixel = isChosen ? mixed(color, WHITE, 0.85 * shade.shine) : mixed(BACKGROUND, color, DIMMED);
    const size = this.#cellPixels;
    const inner = size - Math.max(1, Math.round(size / 6));
    const between = isChosen ? mixed(BACKGROUND, color, GAP) : pixel;
    const width = this.#image.width;
    const start = Math.floor(cell / this.#columns) * size * width + (cell % this.#columns) * size;
    for (let y = 0; y < size; y++) {
      const row = start + y * width;
      this.#pixels.fill(between, row, row + size);
      if (y < inner) this.#pixels.fill(pixel, row, row + inner);
    }
    return !shade.isDirty && shade.shine === 0;
  }

  /** The words beside the picture. */
  #tell(): void {
    const { travels, pageCount, pagesPerCell, pagesAgain, pagesPassedOver } = this.#cells;
    this.#legend.show(travels, pagesAgain, pagesPassedOver);
    const pages = `${formatThings(pageCount, "page")} of 4 KiB`;
    const unit = pagesPerCell === 1 ? "one square each" : `${pagesPerCell} to a square`;
    setText(this.#elements.summary, `${pages}, ${unit}.`);
  }

  #cellAt(event: PointerEvent): number | undefined {
    const size = this.#cellPixels / this.#ratio;
    const column = Math.floor(event.offsetX / size);
    const cell = Math.floor(event.offsetY / size) * this.#columns + column;
    return column >= 0 && column < this.#columns && cell >= 0 && cell < this.#cells.cellCount ? cell : undefined;
  }

  #pointAt(cell: number | undefined): void {
    this.#cursorCell = cell;
    const { cursor, canvas } = this.#elements;
    cursor.hidden = cell === undefined;
    if (cell === undefined) return;
    const size = this.#cellPixels / this.#ratio;
    const left = canvas.offsetLeft + (cell % this.#columns) * size;
    const top = canvas.offsetTop + Math.floor(cell / this.#columns) * size;
    cursor.style.transform = `translate(${left}px, ${top}px)`;
    cursor.style.width = cursor.style.height = `${size}px`;
    setText(this.#elements.page, this.#describe(cell));
  }

  #describe(cell: number): string {
    const { page, cell: pageClass, round, timesSent } = this.#cells.pageOf(cell);
    const address = `0x${(page * PAGE_BYTES).toString(16).padStart(8, "0")}`;
    const start = `Page ${formatCount(page)}, address ${address}`;
    const look = lookOf(pageClass);
    if (look === undefined) return `${start}: not looked at yet.`;
    const words = `${look.name.toLowerCase()} (${look.term}): ${look.explanation}`;
    if (timesSent === 0) return `${start}: ${words}.`;
    return `${start}: ${words}. Round ${round}, sent ${formatThings(timesSent, "time")}.`;
  }
}

function rgb(color: string): Rgb {
  const value = Number.parseInt(color.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** Canvases store red first, and every machine that runs browsers is little-endian. */
function packed([red, green, blue]: Rgb): number {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function mixed(from: Rgb, to: Rgb, share: number): number {
  const between = (index: 0 | 1 | 2): number => from[index] + (to[index] - from[index]) * share;
  return packed([between(0), between(1), between(2)]);
}

const WHITE: Rgb = [255, 255, 255];
const BACKGROUND = rgb(WAITING_COLOR);
const DIRTY = rgb(DIRTY_COLOR);
const COLORS: readonly Rgb[] = Object.values(Cell).map((cell) =>
  rgb(CLASS_LOOKS.find((look) => look.cell === cell)?.color ?? WAITING_COLOR),
);
