import { type MachineNews, type MachineState, MachineWorker } from "pageferry";
import { MachinePanel, type Workload } from "./machine-panel.js";
import { v86Location } from "./v86.js";

/** The demo guest is asked for its clock this often. */
const CLOCK_EVERY_MS = 1000;

/** What a side tells of the machine on it. */
export interface SideEvents {
  readonly onState: (side: Side, reason: string | undefined) => void;
  readonly onNews: (news: Extract<MachineNews, { news: "progress" | "pages" }>) => void;
}

/** The left or the right side of the page: a panel, and the worker that runs its machine. */
export class Side {
  readonly panel: MachinePanel;
  readonly place: string;
  readonly #events: SideEvents;
  #worker: Promise<MachineWorker> | undefined;
  #state: MachineState = "empty";
  #workload: Workload | undefined;
  #clock: ReturnType<typeof setInterval> | undefined;

  constructor(root: HTMLElement, place: string, events: SideEvents) {
    this.place = place;
    this.#events = events;
    this.panel = new MachinePanel(root, place, {
      type: (text) => this.#withWorker((worker) => worker.type(text)),
      work: (workload) => this.#work(workload),
      switchOff: () => void this.discard(),
      togglePause: () => this.#withWorker((worker) => (this.#state === "running" ? worker.pause() : worker.resume())),
    });
  }

  get state(): MachineState {
    return this.#state;
  }

  /** Whether a machine is here that can go on. */
  get hasMachine(): boolean {
    return this.#state === "running" || this.#state === "paused" || this.#state === "in-doubt";
  }

  /** What the machine does, as far as is known; it goes on doing it where it arrives. */
  get workload(): Workload | undefined {
    return this.#workload;
  }

  set workload(workload: Workload | undefined) {
    this.#workload = workload;
    this.panel.showWork(workload);
  }

  /** The worker of this side; started when it is needed first, and anew after it has failed. Throws what MachineWorker.open throws. */
  async worker(): Promise<MachineWorker> {
    this.#worker ??= MachineWorker.open({ v86: v86Location, onNews: (news) => this.#hear(news) });
    try {
      return await this.#worker;
    } catch (error) {
      this.#worker = undefined;
      this.#enter("empty", undefined);
      throw error;
    }
  }

  /** Throws away the worker, and the machine in it. */
  async discard(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.then(
      (open) => open.close(),
      () => undefined,
    );
    await this.panel.screen.clear();
    this.#enter("empty", undefined);
  }

  #hear(news: MachineNews): void {
    switch (news.news) {
      case "state":
        this.#enter(news.state, news.reason);
        break;
      case "console":
        void this.panel.print(news.bytes, news.isPast);
        break;
      case "answer":
        this.#hearAnswer(news.line);
        break;
      case "pace":
        this.panel.showPace(news.instructionsPerSecond);
        break;
      default:
        this.#events.onNews(news);
    }
  }

  #enter(state: MachineState, reason: string | undefined): void {
    const was = this.#state;
    this.#state = state;
    this.panel.showState(state);
    if (state === "empty" && was !== "empty") void this.panel.screen.clear();
    const hasClock = state === "running" || state === "leaving";
    if (hasClock) this.#clock ??= setInterval(() => this.#askForClock(), CLOCK_EVERY_MS);
    else this.#stopClock();
    if (hasClock && was !== "leaving") this.#askForClock();
    this.#events.onState(this, reason);
  }

  #hearAnswer(line: string): void {
    const uptime = /^PF uptime (\d+(?:\.\d+)?)$/.exec(line)?.[1];
    if (uptime !== undefined) this.panel.showClock(Number(uptime));
    const workload = /^PF work (idle|counter|rewrite|compile)$/.exec(line)?.[1];
    if (workload !== undefined) this.workload = workload as Workload;
  }

  #work(workload: Workload): void {
    this.workload = workload;
    this.#withWorker((worker) => worker.command(`pf-work ${workload}`));
  }

  #askForClock(): void {
    this.#withWorker((worker) => worker.command("pf-clock"));
  }

  #stopClock(): void {
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  /** What fails here shows as the machine's state. */
  #withWorker(act: (worker: MachineWorker) => unknown): void {
    void this.#worker?.then(act).catch(() => undefined);
  }
}
