import { describe, expect, it } from "vitest";
import { QemuStreamParser } from "../../src/relay/qemu-stream.js";
import { makeStream } from "../support/qemu-stream.js";
import { Random } from "../support/random.js";
import { CodecPair } from "../support/relay-codec.js";

/** `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Math.min(Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 3000), 100_000);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261126");
/** The parser by itself is faster. */
const PARSER_CASES = Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 100_000);
/** An XBZRLE record has at most so many bytes; a table of blocks as many and no more. */
const MAX_LEFT_BYTES = 256 * (1 + 255 + 8) + 8;
const CASES_PER_STREAM = 200;
const PLANS = [{}, { xbzrle: true }, { postcopy: true }, { extras: 2 }, { bitmap: true, xbzrle: true }] as const;
const SMALL = {
  blocks: [
    ["pc.ram", 9],
    ["rom", 2],
  ] as const,
  rounds: 2,
  pagesPerRound: 5,
};

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

/** One to four edits, most of them where records begin. */
function mutate(bytes: Uint8Array, borders: readonly number[], random: Random): Uint8Array {
  let mutated = Buffer.from(bytes);
  for (let edits = 1 + random.below(4); edits > 0 && mutated.length > 0; edits--) {
    const border = borders[random.below(borders.length)] as number;
    const at =
      random.below(8) === 0 ? random.below(mutated.length) : Math.min(border + random.below(24), mutated.length - 1);
    switch (random.below(6)) {
      case 0:
        mutated[at] = random.below(256);
        break;
      case 1:
        mutated[at] = (mutated[at] as number) ^ (1 << random.below(8));
        break;
      case 2:
        mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(at + 1 + random.below(20))]);
        break;
      case 3:
        mutated = Buffer.concat([mutated.subarray(0, at), random.bytes(1 + random.below(20)), mutated.subarray(at)]);
        break;
      case 4: {
        // A stretch of the stream comes again.
        const from = borders[random.below(borders.length)] as number;
        const again = mutated.subarray(from, from + random.below(9000));
        mutated = Buffer.concat([mutated.subarray(0, at), again, mutated.subarray(at)]);
        break;
      }
      default:
        mutated = random.below(4) === 0 ? mutated.subarray(0, at) : mutated;
        if (at < mutated.length) mutated[at] = [0, 0xff, 0x7e, 0x08, 0x20][random.below(5)] as number;
    }
  }
  return mutated;
}

describe(`mutated streams of QEMU from seed ${SEED}`, () => {
  it(`${CASES} come out as they went in, in bounded memory`, async () => {
    const random = new Random(SEED);
    let found = 0;
    let lost = 0;
    for (let done = 0; done < CASES; ) {
      const plan = PLANS[random.below(PLANS.length)] as (typeof PLANS)[number];
      const { bytes, borders, pages } = makeStream({ ...SMALL, ...plan, seed: random.below(2 ** 32) });
      const codecs = new CodecPair([["m"]]);
      codecs.source.join("m", 64);
      for (let index = 0; index < CASES_PER_STREAM && done < CASES; index++, done++) {
        const stream = codecs.stream("m");
        const input = index === 0 ? bytes : mutate(bytes, borders, random);
        try {
          const isCut = random.below(2) === 0;
          for (let at = 0; at < input.length; ) {
            const next = isCut ? at + 1 + random.below(30_000) : input.length;
            await stream.pass(input.subarray(at, next), random.below(3) === 0);
            at = next;
          }
          await stream.pass(new Uint8Array(0), true);
        } catch (error) {
          expect.fail(`case ${done}: ${error}`);
        }
        stream.end();
        if (stream.waitingBytes > 0) expect.fail(`case ${done}: ${stream.waitingBytes} bytes are missing`);
        if (stream.hasGrown) expect.fail(`case ${done}: more memory`);
        const recognised = Object.values(stream.encoder.statistics.pages).reduce((sum, count) => sum + count, 0);
        if (recognised >= pages - 3) found++;
        else lost++;
      }
    }
    // Both kinds come: those that go on to be understood, and those that do not.
    expect(Math.min(found, lost)).toBeGreaterThan(CASES / 50);
  });

  it(`${PARSER_CASES} are told apart without a gap, and no more than a record waits for its rest`, () => {
    const random = new Random(SEED + 1);
    let pages = 0;
    for (let done = 0; done < PARSER_CASES; ) {
      const plan = PLANS[random.below(PLANS.length)] as (typeof PLANS)[number];
      const { bytes, borders } = makeStream({ ...SMALL, ...plan, seed: random.below(2 ** 32) });
      for (let index = 0; index < CASES_PER_STREAM && done < PARSER_CASES; index++, done++) {
        const input = mutate(bytes, borders, random);
        let end = 0;
        const follow = (from: number, to: number): void => {
          if (from !== end || to <= from) expect.fail(`case ${done}: ${from} to ${to} comes after ${end}`);
          end = to;
        };
        const parser = new QemuStreamParser({
          verbatim: follow,
          blocks: () => {},
          page(from, to) {
            pages += 1;
            follow(from, to);
          },
          zero: follow,
        });
        const pieceBytes = random.below(2) === 0 ? input.length : 1 + random.below(20_000);
        let start = 0;
        for (let at = 0; at < input.length; ) {
          at = Math.min(at + pieceBytes, input.length);
          end = 0;
          const parsed = parser.parse(input.subarray(start), at - start);
          if (parsed !== end) expect.fail(`case ${done}: ${parsed} bytes are parsed, ${end} were told`);
          start += parsed;
          if (at - start > MAX_LEFT_BYTES) expect.fail(`case ${done}: ${at - start} bytes wait`);
        }
      }
    }
    expect(pages).toBeGreaterThan(PARSER_CASES);
  });
});
