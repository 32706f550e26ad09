import type { Progress } from "pageferry";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { element, setText } from "./dom.js";
import { formatBytes, formatCount, formatMs } from "./format.js";
import { Cell, lookOf } from "./memory-classes.js";
import { type Moment, MoveSeries, STACKED } from "./move-series.js";

const HEIGHT = 118;
/** Charts are drawn this often, so that the map's frames have the time that they need. */
const DRAW_EVERY_MS = 90;
const MEGABIT = 125_000;
const MEGABYTE = 1e6;

type Column = (moment: Moment) => number | null;

interface Line {
  readonly name: string;
  /** A colour of the style sheet by its name, or one of the map's. */
  readonly color: string;
  readonly column: Column;
  readonly isFilled?: boolean;
}

interface ChartPlan {
  readonly title: string;
  readonly term: string;
  readonly unit: string;
  readonly lines: readonly Line[];
  /** The newest value in words. */
  readonly words: (moment: Moment) => string;
}

const PLANS: readonly ChartPlan[] = [
  {
    title: "Pages to go",
    term: "remaining",
    unit: "",
    lines: [{ name: "pages", color: "--chart-1", column: (at) => at.remaining, isFilled: true }],
    words: ({ remaining }) => (remaining === null ? "–" : formatCount(remaining)),
  },
  {
    title: "Time left",
    term: "estimate",
    unit: "s",
    lines: [{ name: "seconds", color: "--chart-1", column: (at) => at.secondsLeft, isFilled: true }],
    words: ({ secondsLeft }) => (secondsLeft === null ? "–" : formatMs(secondsLeft * 1000)),
  },
  {
    title: "Link, changes",
    term: "dirty rate",
    unit: "Mbit/s",
    lines: [
      { name: "link", color: "--chart-1", column: (at) => inUnits(at.linkBytesPerSecond, MEGABIT) },
      { name: "changes", color: "--chart-2", column: (at) => inUnits(at.dirtyBytesPerSecond, MEGABIT) },
    ],
    words: ({ linkBytesPerSecond }) =>
      linkBytesPerSecond === null ? "–" : `${Math.round(linkBytesPerSecond / MEGABIT)} Mbit/s`,
  },
  {
    title: "Memory sent",
    term: "bytes by class",
    unit: "MB",
    lines: [
      ...STACKED.map(
        (name, index): Line => ({
          name,
          color: lookOf(Cell[name])?.color ?? "",
          column: (at) => (at.stackedBytes[index] ?? 0) / MEGABYTE,
          isFilled: true,
        }),
      ).reverse(),
      { name: "on the link", color: "--ink", column: (at) => at.transferredBytes / MEGABYTE },
    ],
    words: ({ transferredBytes }) => `${formatBytes(transferredBytes)} sent`,
  },
];

/** The charts of a move, drawn while it goes on. */
export class Charts {
  readonly #charts: readonly Chart[];
  #series: MoveSeries;
  #drawnMs = 0;
  #isAsked = false;

  constructor(grid: HTMLElement) {
    this.#series = new MoveSeries(4096);
    this.#charts = PLANS.map((plan) => new Chart(grid, plan));
  }

  /** Forgets everything, for a machine with pages of this size that begins to move. */
  begin(pageBytes: number): void {
    this.#series = new MoveSeries(pageBytes);
    this.#askForFrame();
  }

  /** The move is so far. */
  add(progress: Progress): void {
    this.#series.add(progress);
    this.#askForFrame();
  }

  /** How much longer the move takes, as the chart shows it. */
  get secondsLeft(): number | null {
    return this.#series.moments.at(-1)?.secondsLeft ?? null;
  }

  /** The style sheet's colours have changed. */
  recolor(): void {
    for (const chart of this.#charts) chart.rebuild();
    this.#draw();
  }

  #askForFrame(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    const waitMs = Math.max(0, this.#drawnMs + DRAW_EVERY_MS - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.#draw()), waitMs);
  }

  #draw(): void {
    this.#isAsked = false;
    this.#drawnMs = performance.now();
    for (const chart of this.#charts) chart.draw(this.#series.moments);
  }
}

/** One chart: its title, its newest value in words, and the picture. */
class Chart {
  readonly #plan: ChartPlan;
  readonly #value = element("p", { className: "chart-value" }, "–");
  readonly #box = element("div", { className: "chart-box", attributes: { role: "img" } });
  #plot: uPlot | undefined;
  #moments: readonly Moment[] = [];

  constructor(grid: HTMLElement, plan: ChartPlan) {
    this.#plan = plan;
    this.#box.setAttribute("aria-label", `Chart: ${plan.title}`);
    const title = element("h3", {}, plan.title, " ", element("small", {}, `(${plan.term})`));
    const caption = element("figcaption", {}, title, this.#value);
    const figure = element("figure", {}, caption, this.#box);
    if (plan.lines.length > 1) figure.append(this.#keys());
    else figure.append(element("p", { className: "chart-keys" }, plan.unit === "" ? "pages" : "seconds"));
    grid.append(figure);
    new ResizeObserver(() => this.rebuild()).observe(this.#box);
  }

  draw(moments: readonly Moment[]): void {
    this.#moments = moments;
    const last = moments.at(-1);
    setText(this.#value, last === undefined ? "–" : this.#plan.words(last));
    this.#plot?.setData(this.#data());
  }

  rebuild(): void {
    const width = this.#box.clientWidth;
    if (width === 0) return;
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(width), this.#data(), this.#box);
  }

  #data(): uPlot.AlignedData {
    const columns = this.#plan.lines.map(({ column }) => this.#moments.map(column));
    return [this.#moments.map(({ seconds }) => seconds), ...columns];
  }

  #options(width: number): uPlot.Options {
    const named = (name: string): string => (name.startsWith("--") ? this.#colorOf(name) : name);
    const axis: uPlot.Axis = {
      stroke: named("--muted"),
      grid: { stroke: named("--grid"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [6, 8, 0, 0],
      scales: {
        x: { time: false, range: (_, __, max) => [0, Math.max(1, max ?? 1)] },
        y: { range: (_, __, max) => [0, max === null || max <= 0 ? 1 : max * 1.08] },
      },
      axes: [
        { ...axis, size: 22, gap: 3, space: 44, values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
        { ...axis, size: 40, gap: 4, space: 26, values: (_, ticks) => ticks.map(shortNumber) },
      ],
      series: [
        {},
        ...this.#plan.lines.map(({ color, isFilled }): uPlot.Series => {
          const stroke = named(color);
          const isStacked = this.#plan.lines.length > 2 && isFilled === true;
          const fill = isStacked ? stroke : stroke.replace(")", " / 20%)");
          return {
            stroke,
            width: isStacked ? 0 : 2,
            // What is told once a round is a point more often than a line.
            points: { show: color === "--chart-2", size: 5, fill: stroke },
            spanGaps: true,
            ...(isFilled === true && { fill }),
          };
        }),
      ],
    };
  }

  /** A colour of the style sheet as the canvas takes it: of the theme that holds just now. */
  #colorOf(name: string): string {
    this.#box.style.color = `var(${name})`;
    const color = getComputedStyle(this.#box).color.replaceAll(",", "");
    this.#box.style.color = "";
    return color;
  }

  #keys(): HTMLElement {
    const keys = [...this.#plan.lines].map(({ name, color }) => {
      const swatch = element("span", { className: "key", attributes: { "aria-hidden": "true" } });
      swatch.style.setProperty("--swatch", color.startsWith("--") ? `var(${color})` : color);
      return element("span", {}, swatch, name);
    });
    return element("p", { className: "chart-keys" }, ...keys, element("span", {}, this.#plan.unit));
  }
}

function inUnits(value: number | null, unit: number): number | null {
  return value === null ? null : value / unit;
}

function shortNumber(value: number): string {
  return Math.abs(value) >= 1000 ? `${value / 1000}k` : String(value);
}
