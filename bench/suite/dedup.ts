import { randomFillSync } from "node:crypto";
import type { Kernels } from "pageferry";
import type { Row } from "../measure.js";

const PAGES = 1 << 17;

export async function* dedupRows({ arena, dedup }: Kernels): AsyncGenerator<Row> {
  const fingerprints = arena.allocate(PAGES * 16);
  const numbers = arena.allocate(PAGES * 4);
  const table = dedup.table(PAGES);
  randomFillSync(fingerprints.bytes);
  numbers.u32.forEach((_, page) => {
    numbers.u32[page] = page;
  });
  // Every second fingerprint is known.
  const words = fingerprints.u64;
  const keys = Array.from(
    { length: PAGES },
    (_, page) => ((words[page * 2 + 1] as bigint) << 64n) | (words[page * 2] as bigint),
  );
  const map = new Map<bigint, number>();
  for (let page = 0; page < PAGES; page += 2) {
    const row = (span: typeof numbers, bytes: number) =>
      arena.spanOf(span.bytes.subarray(page * bytes, (page + 1) * bytes));
    table.insert(row(fingerprints, 16), row(numbers, 4), 1);
    map.set(keys[page] as bigint, page);
  }
  yield {
    name: "dedup/find",
    input: `${PAGES} fingerprints (of 512 MiB of pages), half of them known`,
    kernel: {
      bytes: PAGES * 16,
      run() {
        if (table.find(fingerprints, numbers, PAGES) !== PAGES / 2) throw new Error("a fingerprint was missed");
      },
    },
    peers: {
      Map: {
        bytes: PAGES * 16,
        run() {
          let found = 0;
          for (const key of keys) if (map.get(key) !== undefined) found++;
          if (found !== PAGES / 2) throw new Error("a key was missed");
        },
      },
    },
  };
}
