import type { Connection, MachineSource } from "pageferry";
import { ActionBar } from "./action-bar.js";
import { Charts } from "./charts.js";
import { button, byId, setText } from "./dom.js";
import { LinkDialog } from "./link-dialog.js";
import { fetchLinux } from "./linux-image.js";
import { MemoryMap } from "./memory-map.js";
import { Mover, type Situation } from "./mover.js";
import { Notices } from "./notices.js";
import { ReportView } from "./report.js";
import { sentenceOf } from "./sentences.js";
import { Settings, type Where } from "./settings.js";
import { Side, type SideEvents } from "./side.js";
import { roleOf } from "./side-roles.js";
import { SnapshotShelf } from "./snapshot-shelf.js";
import { SnapshotsPanel } from "./snapshots-panel.js";
import type { TabPeer } from "./tab-peer.js";
import { setUpTheme } from "./theme.js";

const PAGE_BYTES = 4096;
/** The size of the demo guest, for the map before it has started. */
const DEMO_MEMORY_BYTES = 72 << 20;
/** A tab that waits for the machine answers at once. */
const PEER_PATIENCE_MS = 3000;
/** What takes Linux's place where the page has none. */
const MEMORY_MACHINE: MachineSource = Object.freeze({
  kind: "memory",
  name: "memory",
  memoryBytes: 64 << 20,
  pagesPerSecond: 2000,
});

/** All that one sees, put together. */
export class Page {
  readonly #notices = new Notices(byId("notices"));
  readonly #map = new MemoryMap(
    {
      frame: byId("map-frame"),
      canvas: byId<HTMLCanvasElement>("map"),
      cursor: byId("map-cursor"),
      summary: byId("map-summary"),
      page: byId("map-page"),
      legend: byId("legend"),
    },
    DEMO_MEMORY_BYTES / PAGE_BYTES,
  );
  readonly #charts = new Charts(byId("charts"));
  readonly #reports = new ReportView(byId("report-body"), byId("report-time"), byId("report-json"));
  readonly #dialog = new LinkDialog();
  readonly #settings = new Settings(byId<HTMLFormElement>("settings"), () => this.#show(this.#mover.situation));
  readonly #actionBar: ActionBar;
  readonly #mover: Mover;
  readonly #snapshots: SnapshotsPanel;
  /** The other tab, once a machine has gone there or come from there. */
  #peer: TabPeer | undefined;

  constructor() {
    const events = this.#sideEvents();
    const left = new Side(byId("left"), "left", events);
    const right = new Side(byId("right"), "right", events);
    this.#mover = new Mover(left, right, this.#settings, {
      onSituation: (situation) => this.#show(situation),
      onReport: (report) => this.#reports.show(report, this.#map.end()),
      onFault: (error, fate, where) => {
        this.#map.end();
        this.#notices.show(sentenceOf(error, fate, where), "fault");
      },
    });
    this.#actionBar = new ActionBar({
      primary: () => void this.#act(),
      cut: () => this.#mover.cut(),
      cancel: () => this.#mover.cancel(),
    });
    this.#snapshots = new SnapshotsPanel(byId("snapshots"), new SnapshotShelf(this.#mover), (error) =>
      this.#notices.show(sentenceOf(error, this.#mover.situation.is === "here" ? "runs-on" : "nothing"), "fault"),
    );
    setUpTheme(byId<HTMLButtonElement>("theme"), () => this.#charts.recolor());
    this.#show(this.#mover.situation);
    // Lists them by a worker, which makes that of the machine to come ready too.
    void this.#snapshots.refresh();
  }

  /** Takes in the machine that another tab sends; it has opened this page by a link. */
  async waitForTab(peer: TabPeer): Promise<void> {
    this.#peer = peer;
    this.#settings.where = "tab";
    await this.#mover.receive(this.#mover.right, peer.connect());
  }

  #sideEvents(): SideEvents {
    return {
      onState: (side, reason) => {
        this.#mover.settle(side);
        if (side.state !== "failed") return;
        this.#notices.show(
          sentenceOf(new Error(`The machine has crashed: ${reason ?? "nobody knows why"}`), "crashed"),
          "fault",
        );
      },
      onNews: (news) => {
        if (news.news === "pages") {
          this.#map.send(news.pages, news.classes, news.round);
          return;
        }
        const { progress } = news;
        this.#map.scanned(progress.pagesScanned, progress.pagesTotal, progress.round);
        this.#charts.add(progress);
        this.#actionBar.showMove(progress, this.#charts.secondsLeft);
      },
    };
  }

  /** Does what the big button says. */
  async #act(): Promise<void> {
    this.#notices.clear();
    const { where } = this.#settings;
    if (this.#mover.situation.is === "both") return;
    if (this.#mover.situation.is !== "here") await this.#mover.start(() => this.#load());
    else if (where === "here") await this.#mover.moveHere();
    else if (where === "tab") await this.#moveToTab();
    else await this.#moveAway(where, await (where === "node" ? this.#dialog.toNode() : this.#dialog.toComputer()));
  }

  async #load(): Promise<MachineSource> {
    const linux = await fetchLinux(({ text, share }) => this.#actionBar.showStarting(text, share));
    if (linux !== undefined) return linux;
    this.#notices.show(
      "This page was built without Linux, so memory with a workload on it takes its place: it has no screen.",
      "note",
    );
    return MEMORY_MACHINE;
  }

  async #moveToTab(): Promise<void> {
    const { situation } = this.#mover;
    if (situation.is !== "here") return;
    const to = (await this.#reachPeer()) ?? (await this.#dialog.toTab());
    if (to === undefined) return;
    await this.#moveAway("tab", to.connection);
    const hasGone = this.#mover.situation.is === "gone";
    this.#peer = hasGone ? to.peer : undefined;
    if (hasGone) await this.#mover.receiveBack(situation.on, to.peer.connect());
  }

  /** The tab that the machine came from, or was in before, as long as it waits for it. */
  async #reachPeer(): Promise<{ readonly connection: Connection; readonly peer: TabPeer } | undefined> {
    const peer = this.#peer;
    if (peer === undefined) return undefined;
    const connection = await peer.connect(PEER_PATIENCE_MS).catch(() => undefined);
    return connection && { connection, peer };
  }

  async #moveAway(where: Exclude<Where, "here">, connection: Connection | undefined): Promise<void> {
    if (connection !== undefined) await this.#mover.moveAway(where, connection);
  }

  async #waitForElsewhere(on: Side): Promise<void> {
    this.#notices.clear();
    const connection = await this.#dialog.fromElsewhere();
    if (connection !== undefined) await this.#mover.receive(on, Promise.resolve(connection));
  }

  #show(situation: Situation): void {
    const { where, linkText } = this.#settings;
    const { left, sides } = this.#mover;
    this.#actionBar.show(situation, where);
    this.#settings.isLocked = situation.is === "moving" || situation.is === "awaiting";
    setText(byId("link-text"), linkText);
    let source = left;
    for (const side of sides) {
      const role = roleOf(situation, side, left, where);
      if (role.isSource) source = side;
      side.panel.showRole(role.isSource ? "Source" : "Destination", role.place);
      const waits = button("Wait for a machine from elsewhere", () => void this.#waitForElsewhere(side));
      side.panel.showEmpty(role.emptyText, ...(role.canWait ? [waits] : []));
      side.panel.isElsewhere = role.isElsewhere;
    }
    const isAtRest = situation.is !== "starting" && !this.#settings.isLocked;
    this.#snapshots.allow(isAtRest && sides.some(({ hasMachine }) => hasMachine), isAtRest && situation.is !== "both");
    byId("link").dataset["active"] = String(situation.is === "moving");
    byId("link").dataset["direction"] = source === left ? "right" : "left";
    if (situation.is === "moving") {
      this.#map.begin();
      this.#charts.begin(PAGE_BYTES);
    }
  }
}
