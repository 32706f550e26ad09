import { expect, it } from "vitest";
import type { Guest, Host, Machine } from "../../src/guest/guest.js";
import { Destination } from "../../src/migration/destination.js";
import { migrate } from "../../src/migration/migrate.js";
import { connectionPair } from "../../src/transport/pair.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";

const GIB = 2 ** 30;
const PAGE_BYTES = 16384;
const MEMORY_BYTES = 6 * GIB;

/** A memory of which only what is not zero takes room. */
class SparseMemory {
  readonly pages = new Map<number, Uint8Array>();

  readPages(firstPage: number, into: Uint8Array): void {
    into.fill(0);
    for (let at = 0; at < into.length; at += PAGE_BYTES) {
      const page = this.pages.get(firstPage + at / PAGE_BYTES);
      if (page !== undefined) into.set(page, at);
    }
  }

  writePages(firstPage: number, from: Uint8Array): void {
    for (let at = 0; at < from.length; at += PAGE_BYTES) {
      this.pages.set(firstPage + at / PAGE_BYTES, from.slice(at, at + PAGE_BYTES));
    }
  }
}

const machine: Machine = {
  name: "large",
  kind: "sparse",
  pageBytes: PAGE_BYTES,
  regions: [
    { name: "low", byteLength: 3 * GIB },
    { name: "high", byteLength: MEMORY_BYTES - 3 * GIB },
  ],
  configuration: {},
};
const done = async (): Promise<void> => {};

it("a machine larger than any WebAssembly memory moves, in little memory", async () => {
  const source = new SparseMemory();
  const random = new Random(31);
  const last = MEMORY_BYTES / PAGE_BYTES - 1;
  for (const page of [0, 3, (3 * GIB) / PAGE_BYTES - 1, (3 * GIB) / PAGE_BYTES, (4 * GIB) / PAGE_BYTES, last]) {
    source.pages.set(page, random.bytes(PAGE_BYTES));
  }
  const guest: Guest = {
    machine,
    readPages: (firstPage, into) => source.readPages(firstPage, into),
    pause: done,
    resume: done,
    saveState: async () => new Uint8Array(1),
    release: done,
  };
  const arrived = new SparseMemory();
  const host: Host = {
    prepare: done,
    readPages: (firstPage, into) => arrived.readPages(firstPage, into),
    writePages: (firstPage, from) => arrived.writePages(firstPage, from),
    loadState: done,
    start: done,
    discard: done,
  };
  const [here, there] = connectionPair();
  const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: MEMORY_BYTES });
  const before = process.memoryUsage().rss;
  const [report] = await Promise.all([
    migrate(guest, here, { strategy: "stop-and-copy", compression: "lz4" }).report,
    destination.receive(there),
  ]);
  expect(report).toMatchObject({ outcome: "completed", ramBytes: MEMORY_BYTES });
  expect([...arrived.pages.keys()].sort((left, right) => left - right)).toEqual([...source.pages.keys()]);
  for (const [page, content] of source.pages) expectSameBytes(arrived.pages.get(page) as Uint8Array, content);
  expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20);
});
