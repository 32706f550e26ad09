import { describe, expect, it } from "vitest";
import type { Machine } from "../../src/guest/guest.js";
import { MemoryHost } from "../../src/guest/memory/host.js";
import { MemoryMachine } from "../../src/guest/memory/machine.js";
import { createKernels } from "../../src/kernel/load.js";
import { zeroFingerprints } from "../../src/migration/fingerprints.js";
import { MemoryLayout } from "../../src/migration/layout.js";
import { MemoryVerifier } from "../../src/migration/verifier.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";

const SEED = "fedcba9876543210";
const PAGE_BYTES = 4096;
const PAGES = 600;

const machine: Machine = new MemoryMachine({
  name: "verified",
  memoryBytes: PAGES * PAGE_BYTES,
  pageBytes: PAGE_BYTES,
  seed: 1,
  filledBytes: 0,
  workingSetPages: 1,
  pagesPerSecond: 0,
  bytesPerPage: 0,
  pattern: "random",
}).describe();
const layout = new MemoryLayout(machine, 0);

async function preparedHost(): Promise<MemoryHost> {
  const host = new MemoryHost();
  await host.prepare(machine);
  return host;
}

/** The fingerprints of the host's memory, all of it read anew. */
async function fingerprintsOf(host: MemoryHost): Promise<Uint8Array> {
  const verifier = await MemoryVerifier.create(host, layout, SEED);
  verifier.catchUp();
  return verifier.fingerprints;
}

describe("verifier", () => {
  it("knows what a fresh memory holds", async () => {
    const zero = zeroFingerprints(await createKernels(), SEED, PAGE_BYTES, PAGES);
    expectSameBytes(await fingerprintsOf(await preparedHost()), zero);
  });

  it("does not read a memory that is known to be untouched", async () => {
    const host = await preparedHost();
    let reads = 0;
    const untouched = {
      isUntouched: true,
      readPages: (firstPage: number, into: Uint8Array) => {
        reads += 1;
        host.readPages(firstPage, into);
      },
    } as unknown as MemoryHost;
    const verifier = await MemoryVerifier.create(untouched, layout, SEED);
    verifier.catchUp();
    expect(reads).toBe(0);
    expectSameBytes(verifier.fingerprints, await fingerprintsOf(host));
    host.writePages(3, new Uint8Array(PAGE_BYTES).fill(7));
    verifier.written(3, 1);
    verifier.catchUp();
    expect(reads).toBe(1);
    expectSameBytes(verifier.fingerprints, await fingerprintsOf(host));
  });

  it("after any writes knows what it would know from reading everything", async () => {
    const host = await preparedHost();
    const random = new Random(8);
    const verifier = await MemoryVerifier.create(host, layout, SEED);
    for (let round = 0; round < 20; round++) {
      for (let writes = random.below(30); writes > 0; writes--) {
        const first = random.below(PAGES);
        const count = 1 + random.below(Math.min(PAGES - first, random.below(8) === 0 ? PAGES : 5));
        host.writePages(first, new Uint8Array(count * PAGE_BYTES).fill(1 + random.below(255)));
        verifier.written(first, count);
      }
      verifier.catchUp();
      expectSameBytes(verifier.fingerprints, await fingerprintsOf(host));
    }
  });

  it("notices a host that loses a write, or does half of it", async () => {
    for (const kept of [0, PAGE_BYTES / 2]) {
      const [honest, losing] = [await preparedHost(), await preparedHost()];
      const page = new Random(9).bytes(PAGE_BYTES);
      const fingerprints: Uint8Array[] = [];
      for (const host of [honest, losing]) {
        const verifier = await MemoryVerifier.create(host, layout, SEED);
        verifier.catchUp();
        const written = page.slice();
        if (host === losing) written.fill(0, kept);
        host.writePages(77, written);
        verifier.written(77, 1);
        verifier.catchUp();
        fingerprints.push(verifier.fingerprints);
      }
      expect(Buffer.compare(fingerprints[0] as Uint8Array, fingerprints[1] as Uint8Array)).not.toBe(0);
    }
  });

  it("reads only what was written since the last time, neighbours in one go, and never across regions", async () => {
    const regions = [
      { name: "low", byteLength: 8 * PAGE_BYTES },
      { name: "high", byteLength: 600 * PAGE_BYTES },
    ];
    const reads: [number, number][] = [];
    const host = {
      ...(await preparedHost()),
      readPages: (firstPage: number, into: Uint8Array) => reads.push([firstPage, into.length / PAGE_BYTES]),
    } as unknown as MemoryHost;
    const verifier = await MemoryVerifier.create(host, new MemoryLayout({ pageBytes: PAGE_BYTES, regions }, 0), SEED);
    verifier.catchUp();
    expect(reads.splice(0)).toEqual([
      [0, 8],
      [8, 256],
      [264, 256],
      [520, 88],
    ]);
    verifier.written(3, 2);
    verifier.written(5, 3);
    verifier.written(8, 1);
    verifier.written(100, 1);
    verifier.catchUp();
    expect(reads.splice(0)).toEqual([
      [3, 5],
      [8, 1],
      [100, 1],
    ]);
    verifier.catchUp();
    expect(reads).toEqual([]);
  });
});
