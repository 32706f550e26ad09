import type { Progress } from "pageferry";
import { byId, setText } from "./dom.js";
import { formatBytes, formatMs } from "./format.js";
import type { Situation } from "./mover.js";
import type { Where } from "./settings.js";

/** The places of {@link Where} in a sentence. */
const PLACES: Readonly<Record<Where, string>> = {
  here: "to the other side",
  tab: "to another tab",
  computer: "to another computer",
  node: "to Node",
};

/** Words and bar change this often while a machine moves. */
const TELL_EVERY_MS = 100;

/** What is done by the buttons. */
export interface ActionBarActions {
  readonly primary: () => void;
  readonly cut: () => void;
  readonly cancel: () => void;
}

/** The one big button, what stands beside it, and how far things are. */
export class ActionBar {
  readonly #section = byId("action");
  readonly #primary = byId<HTMLButtonElement>("primary");
  readonly #primaryText = byId("primary-text");
  readonly #movingButtons = byId("moving-buttons");
  readonly #cut = byId<HTMLButtonElement>("cut");
  readonly #headline = byId("headline");
  readonly #detail = byId("detail");
  readonly #progress = byId<HTMLProgressElement>("progress");

  #phase: Progress["phase"] = "setup";
  #toldMs = 0;

  constructor(actions: ActionBarActions) {
    this.#primary.addEventListener("click", () => {
      if (this.#primary.ariaDisabled !== "true") actions.primary();
    });
    this.#cut.addEventListener("click", actions.cut);
    byId("cancel").addEventListener("click", actions.cancel);
  }

  /** Shows what the page is about, and what the button does next. */
  show(situation: Situation, where: Where): void {
    const isMoving = situation.is === "moving" || situation.is === "awaiting";
    const hadFocus = document.activeElement;
    this.#section.dataset["situation"] = situation.is;
    this.#movingButtons.hidden = !isMoving;
    this.#cut.hidden = situation.is === "awaiting";
    this.#primary.hidden = isMoving;
    // Not `disabled`, which would take the focus away from it.
    this.#primary.setAttribute("aria-disabled", String(situation.is === "starting" || situation.is === "both"));
    if (!isMoving && situation.is !== "starting") this.showProgress(undefined);
    this.#showWords(situation, where);
    this.#keepFocus(hadFocus, isMoving);
  }

  /** How far fetching or moving is, from 0 to 1; undefined: nothing is going on. */
  showProgress(share: number | undefined): void {
    this.#progress.dataset["idle"] = String(share === undefined);
    this.#progress.value = share ?? 0;
  }

  showStarting(text: string, share: number | undefined): void {
    setText(this.#headline, text);
    this.showProgress(share ?? 0);
  }

  /** A move is so far, and takes so much longer, if that can be told. */
  showMove(progress: Progress, secondsLeft: number | null): void {
    const { phase, round, pagesScanned, pagesTotal, transferredBytes } = progress;
    const now = performance.now();
    if (phase === this.#phase && now - this.#toldMs < TELL_EVERY_MS) return;
    this.#phase = phase;
    this.#toldMs = now;
    const left = secondsLeft === null ? "" : `, about ${formatMs(secondsLeft * 1000)} left`;
    const done = `${formatBytes(transferredBytes)} sent${left}`;
    this.showProgress(round === 0 ? (0.85 * pagesScanned) / pagesTotal : phase === "copying" ? 0.9 : 0.97);
    if (phase === "setup") setText(this.#detail, "The other side makes room.");
    else if (phase !== "copying") setText(this.#detail, `The rest follows while it stands still; ${done}.`);
    else if (round === 0) setText(this.#detail, `All memory is copied once while it runs; ${done}.`);
    else setText(this.#detail, `What has changed meanwhile is sent again (round ${round}); ${done}.`);
  }

  /** Whoever pressed a button that has gone stays at this place. */
  #keepFocus(hadFocus: Element | null, isMoving: boolean): void {
    if (hadFocus === null || !this.#section.contains(hadFocus)) return;
    const isAtRest = hadFocus === this.#section && !isMoving;
    if (isAtRest || hadFocus.getClientRects().length === 0) {
      (isMoving ? this.#section : this.#primary).focus({ preventScroll: true });
    }
  }

  #showWords(situation: Situation, where: Where): void {
    const say = (button: string, headline: string, detail: string): void => {
      setText(this.#primaryText, button);
      setText(this.#headline, headline);
      setText(this.#detail, detail);
    };
    switch (situation.is) {
      case "empty":
        say(
          "Start Linux",
          "Start a Linux, then move it while it runs.",
          "It runs here, in an emulator. Nothing leaves this computer.",
        );
        break;
      case "starting":
        say("Start Linux", "Fetching Linux", "It was booted before, and goes on from there.");
        break;
      case "moving":
        setText(this.#headline, `It moves ${PLACES[situation.to]}, and runs on.`);
        setText(this.#detail, "The other side makes room.");
        break;
      case "awaiting":
        setText(this.#headline, situation.hasBegun ? "A machine arrives." : "Waiting for a machine from elsewhere.");
        setText(
          this.#detail,
          situation.hasBegun
            ? "It runs on at the other side until all of it is here."
            : "It appears here as soon as the other side sends it.",
        );
        break;
      case "gone":
        say(
          "Start another Linux",
          "The machine runs over there now.",
          `It stood still for ${formatMs(situation.report.downtimeMs)}. It can be sent back from there.`,
        );
        break;
      case "both":
        say("Move it", "Both sides have a machine.", "Switch one off, and the other can move there.");
        break;
      case "here":
        this.#showHere(situation, where, say);
    }
  }

  #showHere(
    { on, report }: Extract<Situation, { is: "here" }>,
    where: Where,
    say: (button: string, headline: string, detail: string) => void,
  ): void {
    const isLeft = on.place.includes("left");
    const name = isLeft ? "left" : "right";
    // What has come from elsewhere, or from a snapshot, was not on the left before.
    const back = report === undefined ? "Move it to the left" : "Move it back";
    const button = where !== "here" ? `Move it ${PLACES[where]}` : isLeft ? "Move it to the right" : back;
    if (report === undefined) {
      say(button, `The machine runs on the ${name}.`, "Use it as you like, and then move it: it will hardly notice.");
    } else {
      const figures = `${formatBytes(report.transferredBytes)} went over the link for ${formatBytes(report.ramBytes)} of memory.`;
      say(
        button,
        `It runs on the ${name} now. It stood still for ${formatMs(report.downtimeMs)}.`,
        `${figures} What happened stands below.`,
      );
    }
  }
}
