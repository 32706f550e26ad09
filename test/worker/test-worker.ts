import { MemoryHost } from "../../src/guest/memory/host.js";
import type { MemoryMachine } from "../../src/guest/memory/machine.js";
import { Destination } from "../../src/migration/destination.js";
import type { MigrationReport } from "../../src/migration/report.js";
import { messagePortConnection } from "../../src/transport/message-port.js";
import type {
  MachineNews,
  MachineState,
  Order,
  Orders,
  Word,
  WorkerMigrateOptions,
} from "../../src/worker/messages.js";
import { MachineServer } from "../../src/worker/server.js";

export const LIMIT: { readonly memoryLimitBytes: number } = { memoryLimitBytes: 64 << 20 };

type Failure = Extract<Word, { news: "failed" }>;

/** A worker without its thread: what it says is cloned as on the way out of one. */
export class TestWorker {
  readonly server: MachineServer;
  readonly words: Word[] = [];
  readonly #listeners = new Set<(word: Word) => void>();
  #nextId = 1;

  constructor() {
    this.server = new MachineServer((word, transfer) => {
      const cloned = structuredClone(word, { transfer });
      this.words.push(cloned);
      for (const listener of this.#listeners) listener(cloned);
    });
  }

  /** All states so far, each told once. */
  get states(): MachineState[] {
    return this.newsOf("state").map(({ state }) => state);
  }

  newsOf<Name extends MachineNews["news"]>(name: Name): Extract<MachineNews, { news: Name }>[] {
    return this.words.filter((word): word is Extract<MachineNews, { news: Name }> => word.news === name);
  }

  /** Rejects with the word of failure. */
  order<Name extends keyof Orders>(order: Name, argument: Orders[Name]["in"]): Promise<Orders[Name]["out"]> {
    const id = this.#nextId++;
    const answer = new Promise<Orders[Name]["out"]>((resolve, reject) => {
      this.#listen((word) => {
        if (word.news === "done" && word.id === id) resolve(word.out as Orders[Name]["out"]);
        else if (word.news === "failed" && word.id === id) reject(word);
        else return false;
        return true;
      });
    });
    void this.server.take({ order, id, in: argument } as Order);
    return answer;
  }

  /** The word of failure of an order that must fail. */
  async failure<Name extends keyof Orders>(order: Name, argument: Orders[Name]["in"]): Promise<Failure> {
    return await failureOf(this.order(order, argument));
  }

  /** Waits for the next news that are as wanted. */
  next<Name extends MachineNews["news"]>(
    name: Name,
    isWanted: (news: Extract<MachineNews, { news: Name }>) => boolean = () => true,
  ): Promise<Extract<MachineNews, { news: Name }>> {
    return new Promise((resolve) => {
      this.#listen((word) => {
        if (word.news !== name || !isWanted(word as Extract<MachineNews, { news: Name }>)) return false;
        resolve(word as Extract<MachineNews, { news: Name }>);
        return true;
      });
    });
  }

  /** `take` tells whether it has heard what it waits for. */
  #listen(take: (word: Word) => boolean): void {
    const listener = (word: Word): void => {
      if (take(word)) this.#listeners.delete(listener);
    };
    this.#listeners.add(listener);
  }
}

/** What an order failed with. */
export async function failureOf(order: Promise<unknown>): Promise<Failure> {
  return await order.then(
    () => {
      throw new Error("The order was obeyed.");
    },
    (failure: Failure) => failure,
  );
}

/** Takes a memory machine out of the worker, to look at it. Whoever calls stops it. */
export async function takeOut(worker: TestWorker): Promise<MemoryMachine> {
  const host = new MemoryHost();
  const { port1, port2 } = new MessageChannel();
  const destination = new Destination({ host: () => host, authorise: () => true, ...LIMIT });
  await Promise.all([
    destination.receive(messagePortConnection(port2)),
    worker.order("migrate", { port: port1, options: {} }),
  ]);
  return host.content as MemoryMachine;
}

/** Orders both ends of a move. */
export function move(
  from: TestWorker,
  to: TestWorker,
  options: WorkerMigrateOptions = {},
): { readonly leaving: Promise<MigrationReport>; readonly arriving: Promise<unknown> } {
  const { port1, port2 } = new MessageChannel();
  const arriving = to.order("receive", { port: port2, ...LIMIT });
  const leaving = from.order("migrate", { port: port1, options });
  // Whoever looks at one end only is not to be disturbed by the other.
  arriving.catch(() => {});
  leaving.catch(() => {});
  return { leaving, arriving };
}
