import { button, element, offerDownload, setText } from "./dom.js";
import { formatBytes } from "./format.js";

/** A snapshot that is kept in the browser. */
export interface Snapshot {
  readonly id: string;
  readonly name: string;
  readonly time: Date;
  /** What it takes in the storage. */
  readonly bytes: number;
  /** It holds only what differs from the one before it. */
  readonly isPatch: boolean;
}

/** Where snapshots are kept, and how machines come from and to there. */
export interface SnapshotShelf {
  list(): Promise<readonly Snapshot[]>;
  save(name: string): Promise<void>;
  restore(id: string): Promise<void>;
  remove(id: string): Promise<void>;
  /** The snapshot as a file that stands for itself. */
  download(id: string): Promise<Blob>;
  open(file: Blob, name: string): Promise<void>;
}

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The panel of snapshots: saves the machine, lists what is kept, and brings it back. */
export class SnapshotsPanel {
  readonly #shelf: SnapshotShelf;
  readonly #onFault: (error: unknown) => void;
  readonly #save = button("Save a snapshot", () => void this.#do("Saving …", () => this.#shelf.save(this.#nextName())));
  readonly #file = element("input", { type: "file", hidden: true, accept: ".pageferry" });
  readonly #open = button("Open a file …", () => this.#file.click());
  readonly #status = element("p", { attributes: { role: "status" } });
  readonly #list = element("ul", { className: "snapshot-list" });
  #snapshots: readonly Snapshot[] = [];
  #hasMachine = false;
  #isBusy = false;

  constructor(root: HTMLElement, shelf: SnapshotShelf, onFault: (error: unknown) => void) {
    this.#shelf = shelf;
    this.#onFault = onFault;
    this.#file.setAttribute("aria-label", "File of a snapshot");
    this.#file.addEventListener("change", () => {
      const file = this.#file.files?.[0];
      this.#file.value = "";
      if (file !== undefined) void this.#do("Reading the file …", () => shelf.open(file, file.name));
    });
    root.append(
      element(
        "div",
        { className: "card-head" },
        element("h2", { id: "snapshots-title" }, "Snapshots"),
        element(
          "p",
          {},
          "Kept by this browser, for this page only. A further one holds only what has changed since the last.",
        ),
      ),
      element("div", { className: "row-actions" }, this.#save, this.#open, this.#file, this.#status),
      this.#list,
    );
    this.#show();
    void this.refresh();
  }

  /** Whether there is a machine that can be saved. */
  set hasMachine(hasMachine: boolean) {
    this.#hasMachine = hasMachine;
    this.#show();
  }

  async refresh(): Promise<void> {
    try {
      this.#snapshots = await this.#shelf.list();
    } catch (error) {
      this.#onFault(error);
    }
    this.#show();
  }

  async #do(status: string, act: () => Promise<void>): Promise<void> {
    this.#isBusy = true;
    setText(this.#status, status);
    this.#show();
    try {
      await act();
    } catch (error) {
      this.#onFault(error);
    }
    this.#isBusy = false;
    setText(this.#status, "");
    await this.refresh();
  }

  #nextName(): string {
    return `Snapshot ${this.#snapshots.length + 1}`;
  }

  #show(): void {
    this.#save.disabled = !this.#hasMachine || this.#isBusy;
    this.#open.disabled = this.#isBusy;
    const rows = this.#snapshots.map((snapshot) => this.#row(snapshot));
    const none = element(
      "li",
      { className: "placeholder" },
      "None yet. Save one while the machine runs: it hardly notices.",
    );
    this.#list.replaceChildren(...(rows.length === 0 ? [none] : rows));
  }

  #row({ id, name, time, bytes, isPatch }: Snapshot): HTMLElement {
    const size = `${formatBytes(bytes)}${isPatch ? ": only what changed" : ""}`;
    const act = (text: string, status: string, action: () => Promise<void>): HTMLButtonElement => {
      const made = button(text, () => void this.#do(status, action));
      made.setAttribute("aria-label", `${text}: ${name}`);
      made.disabled = this.#isBusy;
      return made;
    };
    return element(
      "li",
      {},
      element("div", {}, element("strong", {}, name), element("small", {}, `${TIME.format(time)} · ${size}`)),
      element(
        "div",
        { className: "row-actions" },
        act("Restore", "Restoring …", () => this.#shelf.restore(id)),
        act("Download", "Reading …", async () => offerDownload(`${name}.pageferry`, await this.#shelf.download(id))),
        act("Delete", "Deleting …", () => this.#shelf.remove(id)),
      ),
    );
  }
}
