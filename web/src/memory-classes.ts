import { PageClass } from "pageferry";

/** How a cell of the memory map stands: as its page travelled last, or not at all. The numbers are those of the engine's page classes. */
export const Cell: {
  readonly waiting: 0;
  readonly zero: 1;
  readonly fill: 2;
  readonly dup: 3;
  readonly delta: 4;
  readonly novel: 5;
  readonly same: 6;
} = Object.freeze({ waiting: 0, zero: 1, fill: 2, dup: 3, delta: 4, novel: 5, same: 6 });
export type Cell = (typeof Cell)[keyof typeof Cell];

/** Pages that pass unremembered are novel ones to whoever watches. */
const PASSING = PageClass.passing;

/** How a class of pages looks and what it is called. */
export interface ClassLook {
  readonly cell: Cell;
  readonly letter: string;
  /** In plain words. */
  readonly name: string;
  /** What the field calls it. */
  readonly term: string;
  readonly explanation: string;
  /** Of Okabe and Ito's palette, which the colour-blind can tell apart. */
  readonly color: string;
}

export const CLASS_LOOKS: readonly ClassLook[] = Object.freeze([
  {
    cell: Cell.novel,
    letter: "N",
    name: "Sent whole",
    term: "novel",
    explanation: "new content, all of it sent",
    color: "#3d9be0",
  },
  {
    cell: Cell.delta,
    letter: "D",
    name: "Only what changed",
    term: "delta",
    explanation: "sent before; only its changes are sent",
    color: "#cc79a7",
  },
  {
    cell: Cell.dup,
    letter: "C",
    name: "Copy of another",
    term: "dup",
    explanation: "the same as a page that is there already",
    color: "#009e73",
  },
  {
    cell: Cell.fill,
    letter: "F",
    name: "One value repeated",
    term: "fill",
    explanation: "eight bytes over and over: these are sent",
    color: "#8fd3f7",
  },
  {
    cell: Cell.zero,
    letter: "Z",
    name: "Became empty",
    term: "zero",
    explanation: "all zeros: only its number is sent",
    color: "#f0e442",
  },
  {
    cell: Cell.same,
    letter: "–",
    name: "Nothing to send",
    term: "unchanged",
    explanation: "as it is over there already, such as empty memory",
    color: "#465364",
  },
] as const);

/** A page that was found changed after it had been sent. */
export const DIRTY_COLOR = "#d55e00";
export const WAITING_COLOR = "#1d2530";

/** The cell for a page class of the engine. Unknown ones of later versions show as sent whole. */
export function cellOfClass(pageClass: number): Cell {
  if (pageClass === PASSING) return Cell.novel;
  return pageClass >= Cell.zero && pageClass <= Cell.same ? (pageClass as Cell) : Cell.novel;
}

/** How a class looks; undefined for what has not been looked at yet. */
export function lookOf(cell: number): ClassLook | undefined {
  return CLASS_LOOKS.find((look) => look.cell === cell);
}
