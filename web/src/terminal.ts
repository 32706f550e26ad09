import { element } from "./dom.js";

const COLUMNS = 80;
const ROWS = 24;
const MOST_FONT_SIZE = 15;
/** On a phone the screen is wider than the panel then, which scrolls. */
const LEAST_FONT_SIZE = 9;
const COLORS = {
  background: "#10151c",
  foreground: "#e4e9f0",
  cursor: "#56b4e9",
  cursorAccent: "#10151c",
  selectionBackground: "#345a7c",
};

/** What is used of xterm.js. */
type XTerm = import("@xterm/xterm").Terminal;

/** A machine's screen and keyboard. The terminal itself is loaded when there is something to show. */
export class Screen {
  readonly #box: HTMLElement;
  readonly #onType: (text: string) => void;
  readonly #label: string;
  #terminal: Promise<XTerm> | undefined;
  #lastWasEscape = false;

  /** `box` has the size of the screen, whatever is in it. */
  constructor(box: HTMLElement, label: string, onType: (text: string) => void) {
    this.#box = box;
    this.#label = label;
    this.#onType = onType;
  }

  /** Loads the terminal, if it is not there yet. */
  async open(): Promise<void> {
    await this.#open();
  }

  async write(bytes: Uint8Array): Promise<void> {
    (await this.#open()).write(bytes);
  }

  /** Empties the screen, and forgets what was on it. */
  async clear(): Promise<void> {
    if (this.#terminal !== undefined) (await this.#terminal).reset();
  }

  #open(): Promise<XTerm> {
    this.#terminal ??= this.#load();
    return this.#terminal;
  }

  async #load(): Promise<XTerm> {
    const [{ Terminal }] = await Promise.all([import("@xterm/xterm"), import("@xterm/xterm/css/xterm.css")]);
    const terminal = new Terminal({
      cols: COLUMNS,
      rows: ROWS,
      fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
      fontSize: 12,
      theme: COLORS,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      scrollback: 1000,
      screenReaderMode: true,
    });
    const place = element("div", { className: "terminal" });
    this.#box.append(place);
    terminal.open(place);
    terminal.textarea?.setAttribute("aria-label", this.#label);
    terminal.onData(this.#onType);
    terminal.attachCustomKeyEventHandler((event) => this.#takesKey(event));
    this.#fit(terminal, place);
    new ResizeObserver(() => this.#fit(terminal, place)).observe(this.#box);
    return terminal;
  }

  /** Tab is the machine's, so that Escape and then Tab, and Tab with Shift, are the ways out for those who use the keyboard. */
  #takesKey(event: KeyboardEvent): boolean {
    if (event.type !== "keydown") return true;
    const leaves = event.key === "Tab" && (event.shiftKey || this.#lastWasEscape);
    this.#lastWasEscape = event.key === "Escape";
    return !leaves;
  }

  /** Chooses the size of the font with which the 80 columns and 24 rows fill the panel. */
  #fit(terminal: XTerm, place: HTMLElement): void {
    const screen = place.querySelector<HTMLElement>(".xterm-screen");
    if (this.#box.clientWidth === 0 || screen === null || screen.clientWidth === 0) return;
    const scale = Math.min(place.clientWidth / screen.clientWidth, place.clientHeight / screen.clientHeight);
    const size = Math.floor(4 * scale * (terminal.options.fontSize ?? 12)) / 4;
    terminal.options.fontSize = Math.min(MOST_FONT_SIZE, Math.max(LEAST_FONT_SIZE, size));
  }
}
