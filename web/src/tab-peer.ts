import { type Connection, openTabConnection } from "pageferry";

const NAME_BYTES = 12;
/** Another tab may be opened whenever the person likes. */
const PATIENCE_MS = 24 * 3_600_000;

/** Two tabs that know each other by a name. Each move between them has a connection of its own, which both open under the same number. */
export class TabPeer {
  readonly name: string;
  #turn = 0;

  private constructor(name: string) {
    this.name = name;
  }

  /** With a new name, which nobody can guess. */
  static create(): TabPeer {
    const bytes = crypto.getRandomValues(new Uint8Array(NAME_BYTES));
    return new TabPeer(Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  }

  /** The tab that opened this one by a link, such as `#tab=NAME`; undefined where none did. */
  static fromLink(hash: string): TabPeer | undefined {
    const name = /^#tab=([0-9a-f]{24})$/.exec(hash)?.[1];
    return name === undefined ? undefined : new TabPeer(name);
  }

  /** The connection for the next move, whichever way it goes; waits so long for the other tab to open it too. Default: for a day. */
  connect(patienceMs: number = PATIENCE_MS): Promise<Connection> {
    const name = `${this.name}-${this.#turn}`;
    this.#turn += 1;
    return openTabConnection(name, { timeoutMs: patienceMs });
  }
}
