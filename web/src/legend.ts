import { element, setText } from "./dom.js";
import { formatCount, formatShare } from "./format.js";
import { Cell, CLASS_LOOKS, DIRTY_COLOR } from "./memory-classes.js";

/** What one can choose to see alone: the pages of a class, or those that travelled more than once. */
export type Choice = Cell | "again";

interface Row {
  readonly choice: Choice;
  readonly button: HTMLButtonElement;
  readonly count: HTMLElement;
}

/** The legend of the memory map: every class with its colour, letter, count and share. Pressing one shows its pages alone. */
export class Legend {
  /** The class that is to be seen alone. */
  chosen: Choice | undefined;
  readonly #rows: readonly Row[];
  readonly #onChoice: () => void;

  constructor(list: HTMLElement, onChoice: () => void) {
    this.#onChoice = onChoice;
    const classes = CLASS_LOOKS.map((look) => this.#row(look.cell, look.letter, look.color, look.name, look.term));
    this.#rows = [...classes, this.#row("again", "↻", DIRTY_COLOR, "Changed and sent again", "dirty")];
    list.replaceChildren(...this.#rows.map(({ button }) => element("li", {}, button)));
  }

  /** Shows how often pages travelled, by class, how many more than once, and how many not at all. */
  show(travels: Uint32Array, pagesAgain: number, pagesPassedOver: number): void {
    const sent = travels.reduce((sum, count) => sum + count, 0);
    for (const { choice, count } of this.#rows) {
      if (choice === "again") setText(count, formatCount(pagesAgain));
      else if (choice === Cell.same) setText(count, formatCount(pagesPassedOver + (travels[Cell.same] ?? 0)));
      else setText(count, countText(travels[choice] ?? 0, sent));
    }
  }

  #row(choice: Choice, letter: string, color: string, name: string, term: string): Row {
    const swatch = element("span", { className: "swatch", attributes: { "aria-hidden": "true" } }, letter);
    swatch.style.setProperty("--swatch", color);
    const count = element("span", { className: "legend-count" });
    const label = element("span", { className: "legend-name" }, name, " ", element("small", {}, `(${term})`));
    const button = element(
      "button",
      { type: "button", className: "legend-item", attributes: { "aria-pressed": "false" } },
      swatch,
      label,
      count,
    );
    button.addEventListener("click", () => {
      this.chosen = this.chosen === choice ? undefined : choice;
      for (const row of this.#rows) row.button.setAttribute("aria-pressed", String(row.choice === this.chosen));
      this.#onChoice();
    });
    return { choice, button, count };
  }
}

function countText(count: number, sent: number): string {
  return count === 0 ? "0" : `${formatCount(count)} · ${formatShare(count, sent)}`;
}
