import type { MigrationReport } from "pageferry";
import { button, element, offerDownload, setText } from "./dom.js";
import { formatBytes, formatCount, formatMs } from "./format.js";
import { type Finding, findingsOf, headlineOf, NOTHING_YET } from "./report-words.js";

/** The report of the last move, in words, with its rounds and as JSON. */
export class ReportView {
  readonly #body: HTMLElement;
  readonly #headline: HTMLElement;
  readonly #json: HTMLElement;

  /** `json` is an element that holds the report for programs that look at the page. */
  constructor(body: HTMLElement, headline: HTMLElement, json: HTMLElement) {
    this.#body = body;
    this.#headline = headline;
    this.#json = json;
    body.replaceChildren(findingsElement(NOTHING_YET));
  }

  /** Shows a report; `framesPerSecond` is how often the map was drawn meanwhile. */
  show(report: MigrationReport, framesPerSecond: number | undefined): void {
    const text = JSON.stringify(report, undefined, 2);
    this.#json.textContent = text;
    if (framesPerSecond !== undefined) this.#json.dataset["framesPerSecond"] = framesPerSecond.toFixed(1);
    setText(this.#headline, headlineOf(report));
    this.#body.replaceChildren(findingsElement(findingsOf(report)), roundsOf(report), actionsOf(text));
  }
}

function findingsElement(findings: readonly Finding[]): HTMLElement {
  const parts = findings.map(({ title, term, figure, sentence, parts = [] }) =>
    element(
      "div",
      { className: "finding" },
      element("h3", {}, title, " ", element("small", {}, `(${term})`)),
      element("p", { className: "figure" }, figure),
      element("p", {}, sentence),
      ...(parts.length === 0 ? [] : [element("ul", {}, ...parts.map((part) => element("li", {}, part)))]),
    ),
  );
  return element("div", { className: "findings" }, ...parts);
}

function roundsOf(report: MigrationReport): HTMLElement {
  const headings = ["Round", "Took", "Changed pages (dirty)", "Memory", "Sent", "Link", "Then"];
  const head = element("tr", {}, ...headings.map((text) => element("th", { scope: "col" }, text)));
  const rows = report.rounds.map((round) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, String(round.round)),
      element("td", {}, formatMs(round.durationMs)),
      element("td", {}, formatCount(round.pagesDirty)),
      element("td", {}, formatBytes(round.rawBytes)),
      element("td", {}, formatBytes(round.transferredBytes)),
      element("td", {}, round.linkBytesPerSecond === 0 ? "–" : `${formatBytes(round.linkBytesPerSecond)}/s`),
      element("td", { className: "why" }, round.decision),
    ),
  );
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  const scroll = element("div", {
    className: "table-scroll",
    tabIndex: 0,
    attributes: { role: "region", "aria-label": "The rounds of the move" },
  });
  scroll.append(table);
  return element("details", {}, element("summary", {}, "Every round, and why it went on or ended"), scroll);
}

function actionsOf(text: string): HTMLElement {
  const copy = button("Copy the report (JSON)", async () => {
    await navigator.clipboard.writeText(text).then(
      () => setText(copy, "Copied"),
      () => setText(copy, "Copying is not allowed here"),
    );
  });
  const file = new Blob([text], { type: "application/json" });
  const download = button("Download it", () => offerDownload("pageferry-report.json", file));
  return element("div", { className: "row-actions" }, copy, download);
}
