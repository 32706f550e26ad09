import type { MachineState } from "pageferry";
import { button, confirmedButton, element, setText } from "./dom.js";
import { formatClock, formatPace } from "./format.js";
import { Sparkline } from "./sparkline.js";
import { Screen } from "./terminal.js";

/** A workload of the demo guest. */
export type Workload = "idle" | "counter" | "rewrite" | "compile";

const WORKLOADS: readonly { readonly workload: Workload; readonly text: string; readonly title: string }[] = [
  { workload: "idle", text: "Idle", title: "Linux does nothing, and waits for you" },
  { workload: "counter", text: "Count", title: "Linux counts, ten times a second" },
  {
    workload: "rewrite",
    text: "Rewrite a file",
    title: "Linux rewrites a file of 9 MB again and again: much memory changes",
  },
  { workload: "compile", text: "Compile", title: "Linux works as if it compiled a program" },
];

/** What a panel can show: the states of a machine, and one that is not here at all. */
export type PanelState = MachineState | "elsewhere";

/** The word for each state, and the shape that stands before it. */
const STATES: Readonly<Record<PanelState, { readonly word: string; readonly shape: string }>> = {
  empty: { word: "Empty", shape: '<circle cx="8" cy="8" r="5.5" fill="none" stroke-dasharray="2.6 2.2"/>' },
  arriving: { word: "Arriving", shape: '<path d="M8 2v8m-4-3 4 4 4-4M3 14h10" fill="none"/>' },
  running: { word: "Running", shape: '<path d="M4 2.5v11l9.5-5.5z"/>' },
  paused: { word: "Standing still", shape: '<path d="M4 3h2.6v10H4zm5.4 0H12v10H9.4z"/>' },
  leaving: { word: "Leaving, still running", shape: '<path d="M2 8h9m-3.5-4 4 4-4 4M14.5 2v12" fill="none"/>' },
  "in-doubt": {
    word: "In doubt",
    shape: '<path d="M8 1.5 14.5 8 8 14.5 1.5 8z" fill="none"/><path d="M8 5v3.5m0 2v.6" fill="none"/>',
  },
  failed: { word: "Crashed", shape: '<path d="m3 3 10 10M13 3 3 13" fill="none"/>' },
  elsewhere: { word: "Elsewhere", shape: '<path d="M6 3H3v10h10v-3M9 3h4v4m0-4L7.5 8.5" fill="none"/>' },
};

/** What a panel asks for. */
export interface PanelActions {
  readonly type: (text: string) => void;
  readonly work: (workload: Workload) => void;
  readonly togglePause: () => void;
  /** Throws the machine away; the person has been asked. */
  readonly switchOff: () => void;
}

/** A machine as one sees it: its screen and keyboard, its state, clock and pace, and what it shall do. */
export class MachinePanel {
  readonly screen: Screen;
  readonly #root: HTMLElement;
  readonly #title = element("h2");
  readonly #place = element("p", { className: "machine-place" });
  readonly #state = element("p", { className: "state" });
  readonly #clock = element("dd", {}, "–");
  readonly #pace = element("dd", {}, "–");
  readonly #sparkline = new Sparkline();
  readonly #empty = element("div", { className: "machine-empty" });
  readonly #emptyText = element("p");
  readonly #works: ReadonlyMap<Workload, HTMLButtonElement>;
  readonly #pause: HTMLButtonElement;
  readonly #off: HTMLButtonElement;
  #shown: MachineState = "empty";
  #isElsewhere = false;
  #canAct = false;
  #isHere = false;
  #hasScreen = false;

  constructor(root: HTMLElement, place: string, actions: PanelActions) {
    this.#root = root;
    setText(this.#place, place);
    this.#works = new Map(
      WORKLOADS.map(({ workload, text, title }) => {
        const work = button(text, () => actions.work(workload));
        work.title = title;
        return [workload, work] as const;
      }),
    );
    this.#pause = button("Pause", actions.togglePause, "pause");
    this.#off = confirmedButton("Switch off", "Really?", actions.switchOff);
    this.#empty.append(this.#emptyText);
    const box = element("div", { className: "screen" }, this.#empty);
    this.screen = new Screen(box, `Screen and keyboard of the machine on the ${place}`, actions.type);
    const group = element("div", { className: "works", attributes: { role: "group", "aria-label": "What it does" } });
    group.append(...this.#works.values());
    root.append(
      element(
        "div",
        { className: "machine-head" },
        element("div", { className: "machine-name" }, this.#title, this.#place),
        this.#state,
      ),
      box,
      element(
        "div",
        { className: "machine-foot" },
        group,
        element("div", { className: "power" }, this.#pause, this.#off),
      ),
      element(
        "div",
        { className: "machine-foot" },
        element(
          "p",
          { className: "hint" },
          element("kbd", {}, "Esc"),
          " then ",
          element("kbd", {}, "Tab"),
          " leaves the screen",
        ),
        element(
          "dl",
          { className: "gauges" },
          element("div", {}, element("dt", {}, "Clock"), this.#clock),
          element("div", {}, element("dt", {}, "Pace"), this.#pace, this.#sparkline.element),
        ),
      ),
    );
    this.showState("empty");
  }

  /** What the machine does on this side: `Source` or `Destination`, and where that is. */
  showRole(role: string, place: string): void {
    setText(this.#title, role);
    setText(this.#place, place);
    this.#root.setAttribute("aria-label", `${role}, ${place}`);
  }

  /** Whether this side stands for a place that is not on this page; there is nothing to see of the machine then. */
  set isElsewhere(isElsewhere: boolean) {
    this.#isElsewhere = isElsewhere;
    this.showState(this.#shown);
  }

  /** What stands where no machine is: a sentence, and buttons under it. */
  showEmpty(sentence: string, ...more: readonly Node[]): void {
    this.#empty.replaceChildren(this.#emptyText, ...more);
    setText(this.#emptyText, sentence);
  }

  /** Shows the machine's state as a word and a shape, and offers what it allows. */
  showState(given: MachineState): void {
    this.#shown = given;
    const state: PanelState = given === "empty" && this.#isElsewhere ? "elsewhere" : given;
    if (this.#root.dataset["state"] === state) return;
    const { word, shape } = STATES[state];
    this.#root.dataset["state"] = state;
    this.#state.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true">${shape}</svg>`;
    this.#state.append(word);
    this.#isHere = state !== "empty" && state !== "elsewhere" && state !== "arriving";
    if (!this.#isHere && state !== "arriving") this.#hasScreen = false;
    this.#empty.hidden = this.#isHere && this.#hasScreen;
    this.#canAct = state === "running" || state === "leaving";
    if (!this.#canAct) for (const work of this.#works.values()) work.disabled = true;
    this.#off.disabled = state !== "running" && state !== "paused" && state !== "in-doubt";
    this.#pause.disabled = this.#off.disabled;
    setText(this.#pause, state === "paused" || state === "in-doubt" ? "Go on" : "Pause");
    if (!this.#isHere) this.#forget();
  }

  showWork(workload: Workload | undefined): void {
    for (const [each, work] of this.#works) work.setAttribute("aria-pressed", String(each === workload));
  }

  /** The machine has printed something, so that there is something to see. */
  async print(bytes: Uint8Array, isPast: boolean): Promise<void> {
    this.#hasScreen = true;
    this.#empty.hidden = this.#isHere;
    if (isPast) await this.screen.clear();
    await this.screen.write(bytes);
  }

  /** The machine has told its uptime: then it also takes workloads, which one that is nothing but memory does not. */
  showClock(seconds: number): void {
    setText(this.#clock, formatClock(seconds));
    for (const work of this.#works.values()) work.disabled = !this.#canAct;
  }

  showPace(instructionsPerSecond: number | undefined): void {
    if (instructionsPerSecond === undefined) return;
    setText(this.#pace, formatPace(instructionsPerSecond));
    this.#sparkline.add(instructionsPerSecond);
  }

  #forget(): void {
    setText(this.#clock, "–");
    setText(this.#pace, "–");
    this.#sparkline.clear();
    this.showWork(undefined);
  }
}
