const POINTS = 40;
const WIDTH = 64;
const HEIGHT = 18;
const SVG = "http://www.w3.org/2000/svg";

/** The last values of something as a small line; the number beside it says the same to those who do not see it. */
export class Sparkline {
  readonly element: SVGSVGElement = document.createElementNS(SVG, "svg");
  readonly #line = document.createElementNS(SVG, "polyline");
  #values: number[] = [];

  constructor() {
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("class", "sparkline");
    this.element.setAttribute("aria-hidden", "true");
    this.element.append(this.#line);
  }

  add(value: number): void {
    this.#values = [...this.#values, value].slice(-POINTS);
    const most = Math.max(...this.#values, 1);
    const points = this.#values.map((each, index) => {
      const x = WIDTH - ((this.#values.length - 1 - index) * WIDTH) / (POINTS - 1);
      return `${x.toFixed(1)},${(HEIGHT - 1.5 - (each / most) * (HEIGHT - 3)).toFixed(1)}`;
    });
    this.#line.setAttribute("points", points.join(" "));
  }

  clear(): void {
    this.#values = [];
    this.#line.removeAttribute("points");
  }
}
