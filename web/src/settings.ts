import type { WorkerMigrateOptions } from "pageferry";

/** Where the machine is to go. */
export type Where = "here" | "tab" | "computer" | "node";

const WHERE: readonly Where[] = ["here", "tab", "computer", "node"];

/** The form of settings. What it says at the moment a move begins holds for that move. */
export class Settings {
  readonly #form: HTMLFormElement;
  #isLocked = false;

  /** `onChange` is called when the person has changed something. */
  constructor(form: HTMLFormElement, onChange: () => void) {
    this.#form = form;
    form.addEventListener("change", onChange);
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  get where(): Where {
    const value = this.#value("where");
    return WHERE.find((where) => where === value) ?? "here";
  }

  set where(where: Where) {
    this.#select("where").value = where;
  }

  /** The link's name, such as `100 Mbit/s`. */
  get linkText(): string {
    return this.#select("link").selectedOptions[0]?.text ?? "";
  }

  get isLocked(): boolean {
    return this.#isLocked;
  }

  /** While a machine moves, nothing can be chosen. */
  set isLocked(isLocked: boolean) {
    this.#isLocked = isLocked;
    for (const select of this.#form.querySelectorAll("select")) select.disabled = isLocked;
  }

  /** How the machine is to be moved. */
  migrateOptions(): WorkerMigrateOptions {
    const bytesPerSecond = Number(this.#value("link"));
    const latencyMs = Number(this.#value("latency"));
    return {
      strategy: this.#value("strategy") === "stop-and-copy" ? "stop-and-copy" : "precopy",
      compression: this.#value("compression") as NonNullable<WorkerMigrateOptions["compression"]>,
      downtimeLimitMs: Number(this.#value("downtime")),
      // Whoever watches wants to see it arrive, if need be a little later.
      onStall: "switch",
      ...(bytesPerSecond > 0 && { bytesPerSecond }),
      ...(latencyMs > 0 && { latencyMs }),
    };
  }

  #value(name: string): string {
    return this.#select(name).value;
  }

  #select(name: string): HTMLSelectElement {
    return this.#form.elements.namedItem(name) as HTMLSelectElement;
  }
}
