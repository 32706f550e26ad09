import { button, element } from "./dom.js";

/** How grave a notice is. */
export type Gravity = "good" | "note" | "fault";

const SHAPES: Readonly<Record<Gravity, string>> = {
  good: '<circle cx="8" cy="8" r="6.5" fill="none"/><path d="m5 8.2 2.2 2.2L11.3 6" fill="none"/>',
  note: '<circle cx="8" cy="8" r="6.5" fill="none"/><path d="M8 7.2v4M8 4.6v.6" fill="none"/>',
  fault: '<path d="M8 1.8 15 14H1z" fill="none"/><path d="M8 6.2v3.6m0 1.7v.5" fill="none"/>',
};

/** What went wrong, in a sentence. It lies over the page, so that nothing moves, and stays until it is closed or the next thing happens. */
export class Notices {
  readonly #region: HTMLElement;

  /** `region` is a live region, so that screen readers tell what comes into it. */
  constructor(region: HTMLElement) {
    this.#region = region;
  }

  show(sentence: string, gravity: Gravity): void {
    const notice = element("div", { className: `notice ${gravity}` });
    notice.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true">${SHAPES[gravity]}</svg>`;
    const close = button("×", () => notice.remove(), "quiet");
    close.setAttribute("aria-label", "Close this message");
    notice.append(element("p", {}, sentence), close);
    this.#region.replaceChildren(notice);
  }

  clear(): void {
    this.#region.replaceChildren();
  }
}
