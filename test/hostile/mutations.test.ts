import { describe, expect, it } from "vitest";
import { KernelError, lz4Bound } from "../../src/index.js";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { type Guarded, guarded } from "../support/guarded.js";
import { Random } from "../support/random.js";
import { decompress as decompressTwin } from "../twin/lz4.js";
import { decode as decodeTwin, encode as encodeTwin } from "../twin/xbzrle.js";

/** Cases in each of the four runs. `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 60_000);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261123");
const CASES_PER_INPUT = 50;
const PAGE_SIZES = [1024, 4096, 32768];

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

/** Runs a decoder and returns whether it took the input. */
function accepts(decode: () => void, code: string): boolean {
  try {
    decode();
    return true;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    expect(error.code).toBe(code);
    return false;
  }
}

describe.each(builds)(`mutated input from seed ${SEED}, $name build`, ({ create }) => {
  it(`XBZRLE: ${CASES} mutated payloads decode as the twin decodes them, or leave the page alone`, () => {
    const { arena, delta } = create();
    const random = new Random(SEED);
    let accepted = 0;
    for (let done = 0; done < CASES; ) {
      const mark = arena.mark();
      const pageBytes = PAGE_SIZES[random.below(16) === 0 ? 2 : random.below(2)] as number;
      const before = random.memoryLike(pageBytes);
      const after = before.slice();
      random.change(after, 1 + random.below(8), 40);
      const room = new Uint8Array(pageBytes);
      const valid = room.subarray(0, Math.max(0, encodeTwin(before, after, room)));
      const page = guarded(arena, pageBytes, random.below(64));
      page.span.bytes.set(before);
      for (let index = 0; index < CASES_PER_INPUT; index++, done++) {
        const inner = arena.mark();
        const mutated = index === 0 ? valid : random.mutate(valid);
        const payload: Guarded = guarded(arena, mutated.length, random.below(16));
        payload.span.bytes.set(mutated);
        const expected = decodeTwin(mutated, before);
        const isAccepted = accepts(
          () => delta.decode(payload.span, mutated.length, page.span, pageBytes),
          "xbzrle-malformed",
        );
        expect(isAccepted, `case ${done}`).toBe(expected !== undefined);
        expectSameBytes(page.span.bytes, expected ?? before);
        if (!page.isIntact() || !payload.isIntact()) expect.fail(`case ${done} wrote outside its buffers`);
        if (isAccepted) {
          accepted++;
          page.span.bytes.set(before);
        }
        arena.release(inner);
      }
      arena.release(mark);
    }
    expect(accepted).toBeGreaterThan(CASES / 100);
    expect(accepted).toBeLessThan(CASES);
  });

  it(`LZ4: ${CASES} mutated blocks decompress as the twin decompresses them, or are refused`, () => {
    const { arena, lz4 } = create();
    const state = lz4.state();
    const random = new Random(SEED + 1);
    let accepted = 0;
    for (let done = 0; done < CASES; ) {
      const mark = arena.mark();
      const content = random.memoryLike(random.below(16) === 0 ? random.below(5000) : random.below(400));
      const input = arena.allocate(content.length);
      const packed = arena.allocate(lz4Bound(content.length));
      input.bytes.set(content);
      const valid = packed.bytes.slice(0, lz4.compress(input, content.length, packed, state));
      for (let index = 0; index < CASES_PER_INPUT; index++, done++) {
        const inner = arena.mark();
        const mutated = index === 0 ? valid : random.mutate(valid);
        const outputBytes =
          random.below(4) === 0 ? Math.max(0, content.length + random.below(40) - 20) : content.length;
        const block = guarded(arena, mutated.length, random.below(16));
        const output = guarded(arena, outputBytes, random.below(64));
        block.span.bytes.set(mutated);
        const expected = decompressTwin(mutated, outputBytes);
        const isAccepted = accepts(
          () => lz4.decompress(block.span, mutated.length, output.span, outputBytes),
          "lz4-malformed",
        );
        expect(isAccepted, `case ${done}`).toBe(expected !== undefined);
        if (expected !== undefined) expectSameBytes(output.span.bytes, expected);
        if (!block.isIntact() || !output.isIntact()) expect.fail(`case ${done} wrote outside its buffers`);
        if (isAccepted) accepted++;
        arena.release(inner);
      }
      arena.release(mark);
    }
    expect(accepted).toBeGreaterThan(CASES / 100);
    expect(accepted).toBeLessThan(CASES);
  });
});
