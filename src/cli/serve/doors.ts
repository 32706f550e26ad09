import type { Connection } from "../../transport/connection.js";
import { ResumableAcceptor } from "../../transport/resumable-acceptor.js";
import type { ResumableOptions } from "../../transport/resumable-options.js";

/** Where machines come in. */
export const ARRIVALS_PATH = "/arrivals";
/** Where they leave, behind it the name of one, percent-encoded. */
export const DEPARTURES_PATH = "/departures/";

/** Where memory images are fetched, behind it the name of one, percent-encoded. */
export const IMAGES_PATH = "/images/";

/** What happens behind the doors. */
export interface Behind {
  arrive(connection: Connection): void;
  /** The name is undefined where no such machine was here when the connection came. */
  depart(name: string | undefined, connection: Connection): void;
  isHere(name: string): boolean;
  /** An image of that name is wanted, which is here. */
  fetch(image: string, connection: Connection): void;
  isImage(name: string): boolean;
}

/** Hands connections on by the path at which they come. Each path has an acceptor of its own: a lost link is resumed where it was opened. */
export class Doors {
  readonly #options: ResumableOptions;
  readonly #behind: Behind;
  readonly #arrivals: ResumableAcceptor;
  readonly #departures = new Map<string, ResumableAcceptor>();
  readonly #images = new Map<string, ResumableAcceptor>();
  readonly #unknown: ResumableAcceptor;

  constructor(options: ResumableOptions, behind: Behind) {
    this.#options = options;
    this.#behind = behind;
    this.#arrivals = new ResumableAcceptor(options, (connection) => behind.arrive(connection));
    this.#unknown = new ResumableAcceptor(options, (connection) => behind.depart(undefined, connection));
  }

  accept(inner: Connection, path: string): void {
    const image = nameBehind(IMAGES_PATH, path);
    if (path === ARRIVALS_PATH) this.#arrivals.accept(inner);
    else if (image !== undefined) this.#imagesOf(image).accept(inner);
    else this.#departuresOf(nameBehind(DEPARTURES_PATH, path) ?? "").accept(inner);
  }

  /** Whether there is a door of this path. */
  has(path: string): boolean {
    const image = nameBehind(IMAGES_PATH, path);
    if (image !== undefined) return this.#behind.isImage(image);
    return path === ARRIVALS_PATH || nameBehind(DEPARTURES_PATH, path) !== undefined;
  }

  close(): void {
    const named = [...this.#departures.values(), ...this.#images.values()];
    for (const door of [this.#arrivals, this.#unknown, ...named]) door.close();
  }

  #imagesOf(name: string): ResumableAcceptor {
    const door =
      this.#images.get(name) ??
      new ResumableAcceptor(this.#options, (connection) => this.#behind.fetch(name, connection));
    this.#images.set(name, door);
    return door;
  }

  /** Of a machine that is here; those of machines that have gone are forgotten. */
  #departuresOf(name: string): ResumableAcceptor {
    for (const known of this.#departures.keys()) {
      if (!this.#behind.isHere(known)) this.#departures.delete(known);
    }
    if (!this.#behind.isHere(name)) return this.#unknown;
    const door =
      this.#departures.get(name) ??
      new ResumableAcceptor(this.#options, (connection) => this.#behind.depart(name, connection));
    this.#departures.set(name, door);
    return door;
  }
}

function nameBehind(folder: string, path: string): string | undefined {
  if (!path.startsWith(folder)) return undefined;
  try {
    return decodeURIComponent(path.slice(folder.length)) || undefined;
  } catch {
    return undefined;
  }
}
