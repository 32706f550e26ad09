import { FileGuest } from "../../guest/file/guest.js";
import { MigrationFailure, migrate } from "../../migration/migrate.js";
import type { MigrationReport } from "../../migration/report.js";
import type { Connection } from "../../transport/connection.js";

/** Options of {@link Images}. */
export interface ImagesOptions {
  /** The images' files by the names under which they are fetched. */
  readonly paths: ReadonlyMap<string, string>;
  /** The most time to wait for a silent peer. */
  readonly timeoutMs: number;
}

/** Pages as they were sent, of one image for one who fetches it. */
const CACHE_BYTES = 64 << 20;
const MOST_AT_ONCE = 16;

/** Memory images that others fetch, or mount: each appears there at once, and its pages follow. */
export class Images {
  readonly #options: ImagesOptions;
  #fetching = 0;

  constructor(options: ImagesOptions) {
    this.#options = options;
  }

  has(name: string): boolean {
    return this.#options.paths.has(name);
  }

  /** Why none can be fetched just now; undefined where one can. */
  get refusal(): string | undefined {
    return this.#fetching < MOST_AT_ONCE ? undefined : `${MOST_AT_ONCE} images are being fetched already; try later.`;
  }

  /** Sends an image to a destination at the other end; resolves when all of it is there. Throws `image`, and why it did not get there. */
  async send(name: string, connection: Connection): Promise<MigrationReport> {
    this.#fetching += 1;
    let guest: FileGuest | undefined;
    try {
      guest = new FileGuest(this.#options.paths.get(name) as string, { name });
      const { timeoutMs } = this.#options;
      const options = { strategy: "postcopy", cacheBytes: CACHE_BYTES, timeoutMs, lostAfterMs: timeoutMs } as const;
      return await migrate(guest, connection, options).report;
    } catch (error) {
      connection.abort(error as Error);
      // An image is not lost as a machine would be.
      throw error instanceof MigrationFailure && error.cause instanceof Error ? error.cause : error;
    } finally {
      this.#fetching -= 1;
      await guest?.release();
    }
  }
}
