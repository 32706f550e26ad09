import type { FuseRead } from "../../fuse/session.js";
import type { MountSource } from "./source.js";

/** A source that is still being loaded: reads wait for it. */
export class LateSource implements MountSource {
  readonly byteLength: Promise<number>;
  readonly settled: Promise<void>;
  readonly #opening: Promise<MountSource>;
  readonly #early: FuseRead[] = [];
  #source: MountSource | undefined;

  constructor(opening: Promise<MountSource>) {
    this.#opening = opening.then((source) => {
      this.#source = source;
      for (const read of this.#early.splice(0)) source.read(read);
      return source;
    });
    this.byteLength = this.#opening.then(({ byteLength }) => byteLength);
    this.settled = this.#opening.then(({ settled }) => settled);
    // Who waits for one of them may not wait for the other.
    this.byteLength.catch(() => {});
    this.settled.catch(() => {});
  }

  read(read: FuseRead): void {
    if (this.#source === undefined) this.#early.push(read);
    else this.#source.read(read);
  }

  async close(): Promise<void> {
    const source = await this.#opening.catch(() => undefined);
    await source?.close();
  }
}
