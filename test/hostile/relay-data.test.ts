import { describe, expect, it } from "vitest";
import { PageError } from "../../src/page/errors.js";
import { newKernels, TargetCodecs } from "../../src/relay/codecs.js";
import { RelayError } from "../../src/relay/errors.js";
import { StreamDecoder } from "../../src/relay/stream-decoder.js";
import { BATCH_HEADER_BYTES } from "../../src/wire/batch.js";
import { WireError } from "../../src/wire/errors.js";
import { decodeRelayData, RELAY_DATA_HEADER_BYTES, RELAY_MAX_RAW_BYTES } from "../../src/wire/relay-data.js";
import { ScriptWriter } from "../../src/wire/relay-script.js";
import { makeStream } from "../support/qemu-stream.js";
import { Random } from "../support/random.js";
import { CodecPair } from "../support/relay-codec.js";

/** `npm run fuzz` asks for many, from a seed that it draws; a seed plays the same cases again. */
const CASES = Math.min(Number(process.env["PAGEFERRY_FUZZ_CASES"] ?? 1000), 100_000);
const SEED = seedFrom(process.env["PAGEFERRY_FUZZ_SEED"] ?? "20261127");
const CODES = ["stream-malformed", "digest-differs", "protocol", "batch-malformed", "message-malformed"];
const CACHE_BYTES = 256 << 10;

function seedFrom(text: string): number {
  return text === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(text);
}

/** Bodies of data frames of a small stream, not compressed, so that edits meet scripts and indexes. */
async function bodiesOf(seed: number): Promise<readonly Uint8Array[]> {
  const codecs = new CodecPair([], "none");
  const stream = codecs.stream("m");
  const { bytes, borders } = makeStream({
    seed,
    rounds: 2,
    pagesPerRound: 6,
    blocks: [
      ["pc.ram", 9],
      ["rom", 2],
    ],
  });
  const middle = borders[Math.floor(borders.length / 2)] as number;
  await stream.pass(bytes.subarray(0, middle), true);
  await stream.pass(bytes.subarray(middle), true);
  return stream.bodies;
}

function mutate(body: Uint8Array, random: Random): Uint8Array {
  const mutated = body.slice();
  for (let edits = 1 + random.below(3); edits > 0; edits--) {
    const kind = random.below(3);
    // The two headers, or what stands last: the end of the script, and the index.
    const at =
      kind === 0
        ? random.below(RELAY_DATA_HEADER_BYTES + BATCH_HEADER_BYTES)
        : kind === 1
          ? mutated.length - 1 - random.below(Math.min(mutated.length, 700))
          : random.below(mutated.length);
    mutated[at] = random.below(2) === 0 ? random.below(256) : (mutated[at] as number) ^ (1 << random.below(8));
  }
  return random.below(10) === 0 ? mutated.subarray(0, random.below(mutated.length)) : mutated;
}

function checkError(error: unknown): void {
  const isTyped = error instanceof RelayError || error instanceof PageError || error instanceof WireError;
  if (!isTyped) throw error;
  if (!CODES.includes(error.code)) expect.fail(`${error.code}: ${error.message}`);
}

describe(`mutated data of a relay from seed ${SEED}`, () => {
  it(`${CASES} frames are refused with an error that says so, unless they stand for the same bytes`, async () => {
    const random = new Random(SEED);
    let refused = 0;
    for (let done = 0; done < CASES; ) {
      const bodies = await bodiesOf(random.below(2 ** 32));
      for (let index = 0; index < 100 && done < CASES; index++, done++) {
        const target = new TargetCodecs(CACHE_BYTES);
        target.create(1, CACHE_BYTES);
        const kernels = newKernels();
        const decoder = new StreamDecoder(kernels, 7n, target);
        const byteLength = kernels.arena.memory.buffer.byteLength;
        const victim = random.below(bodies.length);
        try {
          for (const [at, body] of bodies.entries()) {
            const original = decodeRelayData(body);
            const bytes = await decoder.decode(decodeRelayData(at === victim ? mutate(body, random) : body));
            expect(bytes.length).toBe(original.rawBytes);
          }
        } catch (error) {
          checkError(error);
          refused++;
        }
        expect(kernels.arena.memory.buffer.byteLength).toBe(byteLength);
      }
    }
    expect(refused).toBeGreaterThan(CASES / 2);
  });

  it(`${CASES} scripts of noise are refused, or end`, () => {
    const random = new Random(SEED + 1);
    const decoder = new StreamDecoder(newKernels(), 7n, new TargetCodecs(0));
    const rooms = [0, 100, 5000, RELAY_MAX_RAW_BYTES];
    const page = random.bytes(4096);
    for (let done = 0; done < CASES; done++) {
      const writer = new ScriptWriter(10_000);
      writer.block(Buffer.from("ram"), random.below(4));
      writer.namedPage(0);
      writer.zero(random.below(100) - 50);
      writer.page();
      writer.verbatim(random.bytes(20), 0, random.below(20));
      writer.namedZero(random.below(2), -random.below(3));
      const script = random.below(2) === 0 ? random.bytes(random.below(60)) : random.mutate(writer.take());
      try {
        decoder.start(rooms[random.below(rooms.length)] as number);
        decoder.begin(script);
        for (let pages = random.below(3); pages > 0; pages--) decoder.pages(random.below(2 ** 32), page);
        decoder.finish();
      } catch (error) {
        checkError(error);
      }
    }
  });
});
