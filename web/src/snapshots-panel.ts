import type { Snapshot } from "pageferry";
import { button, element, offerDownload, setText } from "./dom.js";
import { formatBytes, formatMs } from "./format.js";
import type { SnapshotShelf } from "./snapshot-shelf.js";

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The panel of snapshots: saves the machine, lists what is kept, and brings it back. */
export class SnapshotsPanel {
  readonly #shelf: SnapshotShelf;
  readonly #onFault: (error: unknown) => void;
  readonly #save = button("Save a snapshot", () => void this.#do("Saving …", () => this.#saveOne()));
  readonly #file = element("input", { type: "file", hidden: true, attributes: { "aria-label": "File of a snapshot" } });
  readonly #open = button("Open a file …", () => this.#file.click());
  readonly #status = element("p", { attributes: { role: "status" } });
  readonly #list = element("ul", { className: "snapshot-list" });
  #snapshots: readonly Snapshot[] = [];
  #canSave = false;
  #canRestore = true;
  #isBusy = false;

  constructor(root: HTMLElement, shelf: SnapshotShelf, onFault: (error: unknown) => void) {
    this.#shelf = shelf;
    this.#onFault = onFault;
    this.#file.addEventListener("change", () => {
      const file = this.#file.files?.[0];
      if (file !== undefined) void this.#do("Reading the file …", () => this.#openFile(file));
    });
    const about = "Kept by this browser. A further one holds only what has changed since the one before.";
    root.append(
      element(
        "div",
        { className: "card-head" },
        element("h2", { id: "snapshots-title" }, "Snapshots"),
        element("p", {}, about),
      ),
      element("div", { className: "row-actions" }, this.#save, this.#open, this.#file, this.#status),
      this.#list,
    );
    this.#show();
  }

  /** Whether there is a machine that can be saved, and an empty side that one can be restored to. */
  allow(canSave: boolean, canRestore: boolean): void {
    if (canSave === this.#canSave && canRestore === this.#canRestore) return;
    this.#canSave = canSave;
    this.#canRestore = canRestore;
    this.#show();
  }

  /** Reads anew what is kept. */
  async refresh(): Promise<void> {
    try {
      this.#snapshots = await this.#shelf.list();
    } catch (error) {
      this.#onFault(error);
    }
    this.#show();
  }

  async #do(status: string, act: () => Promise<string>): Promise<void> {
    this.#isBusy = true;
    setText(this.#status, status);
    this.#show();
    let outcome = "";
    try {
      outcome = await act();
    } catch (error) {
      this.#onFault(error);
    }
    this.#isBusy = false;
    await this.refresh();
    setText(this.#status, outcome);
  }

  async #saveOne(): Promise<string> {
    const { storedBytes, pausedMs } = await this.#shelf.save();
    const size = storedBytes === 0 ? "nothing has changed since the one before" : formatBytes(storedBytes);
    return `Saved: ${size}. The machine stood still for ${formatMs(pausedMs)}.`;
  }

  async #openFile(file: File): Promise<string> {
    // The same file can be chosen again.
    this.#file.value = "";
    await this.#shelf.import(file);
    return `${file.name} is among the snapshots now.`;
  }

  #show(): void {
    this.#save.disabled = !this.#canSave || this.#isBusy;
    this.#open.disabled = this.#isBusy;
    const rows = this.#snapshots.map((snapshot) => this.#row(snapshot));
    const none = "None yet. Save one while the machine runs: it hardly notices.";
    this.#list.replaceChildren(...(rows.length === 0 ? [element("li", { className: "placeholder" }, none)] : rows));
  }

  #row({ id, storedBytes, storedAtMs, patch }: Snapshot): HTMLElement {
    const time = TIME.format(storedAtMs);
    const act = (text: string, status: string, isPossible: boolean, action: () => Promise<string>): HTMLElement => {
      const made = button(text, () => void this.#do(status, action));
      made.setAttribute("aria-label", `${text}: snapshot of ${time}`);
      made.disabled = this.#isBusy || !isPossible;
      return made;
    };
    const isWhole = patch !== undefined;
    return element(
      "li",
      {},
      element(
        "p",
        {},
        element("strong", {}, time),
        element("small", {}, `${formatBytes(storedBytes)}: ${kindOf(patch)}`),
      ),
      element(
        "div",
        { className: "row-actions" },
        act("Restore", "Restoring …", isWhole && this.#canRestore, async () => {
          await this.#shelf.restore(id);
          return "Restored.";
        }),
        act("Download", "Reading …", isWhole, async () => {
          const bytes = (await this.#shelf.export(id)) as Uint8Array<ArrayBuffer>;
          offerDownload(`snapshot-${id.slice(0, 8)}.patch`, new Blob([bytes]));
          return "";
        }),
        act("Delete", "Deleting …", true, async () => {
          await this.#shelf.remove(id);
          return "";
        }),
      ),
    );
  }
}

function kindOf(patch: Snapshot["patch"]): string {
  if (patch === undefined) return "damaged, and can only be deleted";
  return patch.base.byteLength === 0 ? "the whole machine" : "only what has changed since the one before";
}
