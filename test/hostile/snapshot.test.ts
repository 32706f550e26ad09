import { describe, expect, it } from "vitest";
import { GuestError } from "../../src/guest/errors.js";
import { MemoryHost } from "../../src/guest/memory/host.js";
import { captureMachine } from "../../src/guest/snapshot/capture.js";
import { IMAGE_HEADER_BYTES } from "../../src/guest/snapshot/machine-image.js";
import { MemoryImage } from "../../src/guest/snapshot/memory-image.js";
import { memoryStorage } from "../../src/guest/snapshot/memory-storage.js";
import { restoreMachine } from "../../src/guest/snapshot/restore.js";
import { SnapshotStore } from "../../src/guest/snapshot/store.js";
import { startMachine } from "../guest/snapshot/machines.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";

/** `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. A case here takes a hundred times longer than a frame. */
const CASES = Math.ceil(Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 100_000) / 100);
const HEADER_CASES = CASES * 10;
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261125");
const MEMORY_BYTES = 64 << 10;
const PATCH_HEADER_END = 544;

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

const guest = startMachine(MEMORY_BYTES);
const machineRuns = (): boolean => guest.content.isRunning;
const original = await SnapshotStore.open(memoryStorage());
const { id } = await original.save(guest);
const whole = await original.export(id);
const { image } = await captureMachine(guest, 1 << 20);

/** Why the file is refused; undefined where it is taken. */
async function importInto(store: SnapshotStore, bytes: Uint8Array): Promise<GuestError | undefined> {
  try {
    await store.import(bytes);
    return undefined;
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    if (error.message.length > 400) expect.fail(error.message);
    return error;
  }
}

describe(`mutated snapshots from seed ${SEED}`, () => {
  it("a file with any byte of a part's beginning flipped, cut or lengthened is refused, and nothing is kept", async () => {
    const store = await SnapshotStore.open(memoryStorage());
    const places = [0, 15, 16, 20, 24, 32, 100, PATCH_HEADER_END, PATCH_HEADER_END + 4, PATCH_HEADER_END + 8];
    for (const at of [...places, PATCH_HEADER_END + 16, PATCH_HEADER_END + 40, whole.length - 1]) {
      const mutated = whole.slice();
      mutated[at] = (mutated[at] as number) ^ 1;
      expect((await importInto(store, mutated))?.code, `byte ${at}`).toBe("snapshot-malformed");
      expect((await importInto(store, whole.subarray(0, at)))?.code, `cut at ${at}`).toBe("snapshot-malformed");
    }
    expect((await importInto(store, Buffer.concat([whole, Uint8Array.of(0)])))?.code).toBe("snapshot-malformed");
    expect(await store.list()).toEqual([]);
    expect(machineRuns()).toBe(true);
  });

  it(`${CASES} mutated files are refused with a sentence, or are the file`, async () => {
    const random = new Random(SEED);
    const store = await SnapshotStore.open(memoryStorage());
    for (let done = 0; done < CASES; done++) {
      const mutated = random.mutate(whole);
      const error = await importInto(store, mutated);
      if (error === undefined) expectSameBytes(mutated, whole);
      else if (error.code !== "snapshot-malformed") expect.fail(`case ${done}: ${error.code}`);
    }
    expect((await store.list()).length).toBeLessThanOrEqual(1);
    expect(machineRuns()).toBe(true);
  });

  it(`${HEADER_CASES} images whose header is mutated are refused, or make a machine of their size`, async () => {
    const random = new Random(SEED + 1);
    const header = image.bytes.subarray(0, image.bytes.indexOf(0));
    let refused = 0;
    for (let done = 0; done < HEADER_CASES; done++) {
      const bytes = image.bytes.slice();
      const mutated = mutateHeader(header, random);
      bytes.fill(0, 0, IMAGE_HEADER_BYTES);
      bytes.set(mutated);
      const cut = random.below(10) === 0 ? random.below(bytes.length) : bytes.length;
      const host = new MemoryHost();
      try {
        await restoreMachine(new MemoryImage("mutated", bytes.subarray(0, cut)), host);
        expect(host.content?.bytes.length).toBeLessThanOrEqual(MEMORY_BYTES);
        await host.discard();
      } catch (error) {
        if (!(error instanceof GuestError)) throw error;
        if (host.content !== undefined) expect.fail(`case ${done}: the host was not discarded`);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(HEADER_CASES / 4);
    expect(machineRuns()).toBe(true);
  });

  it("files that hold something else are refused", async () => {
    const store = await SnapshotStore.open(memoryStorage());
    const texts = ["", "{}", '{"format":"pageferry patch"}', "pageferry patch\n", "pageferry machine\n{}"];
    for (const text of texts) {
      expect((await importInto(store, new TextEncoder().encode(text)))?.code, text).toBe("snapshot-malformed");
    }
    expect((await importInto(store, image.bytes))?.code).toBe("snapshot-malformed");
  });
});

/** The header with a few edits, or with one character that JSON may well have there. */
function mutateHeader(header: Uint8Array, random: Random): Uint8Array {
  if (random.below(2) === 0) return random.mutate(header);
  const mutated = header.slice();
  const characters = '0123456789abcdef"{}[],:-.\\';
  mutated[random.below(header.length)] = characters.charCodeAt(random.below(characters.length));
  return mutated;
}
