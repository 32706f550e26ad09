import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CompressionChoice } from "../../../src/page/compression/choice.js";
import type { Codec } from "../../../src/wire/batch.js";
import { Random } from "../../support/random.js";

const CODECS: readonly Codec[] = ["none", "lz4", "zstd"];
const BLOCK_BYTES = 2 ** 20;
const SAMPLE_BYTES = 2 ** 16;
/** Blocks after a change that do not count. */
const FEW_BLOCKS = 20;
/** The same where the change cannot be seen: the link was idle before and is idle after it, so only the next probe tells. */
const HIDDEN_BLOCKS = 280;

/** What a codec does with the data at hand. */
interface Behaviour {
  readonly ratio: number;
  readonly bytesPerSecond: number;
}
type Behaviours = Readonly<Record<Codec, Behaviour>>;

/** A while in which link and data stay as they are. */
interface Phase {
  readonly linkBytesPerSecond: number;
  readonly codecs: Behaviours;
  readonly blocks: number;
}

const pages: Behaviours = {
  none: { ratio: 1, bytesPerSecond: 10e9 },
  lz4: { ratio: 0.5, bytesPerSecond: 500e6 },
  zstd: { ratio: 0.35, bytesPerSecond: 160e6 },
};
const incompressible: Behaviours = {
  none: { ratio: 1, bytesPerSecond: 10e9 },
  lz4: { ratio: 1.004, bytesPerSecond: 900e6 },
  zstd: { ratio: 1.0001, bytesPerSecond: 300e6 },
};

function seconds({ linkBytesPerSecond, codecs }: Phase, codec: Codec): number {
  const { ratio, bytesPerSecond } = codecs[codec];
  return BLOCK_BYTES * Math.max(1 / bytesPerSecond, ratio / linkBytesPerSecond);
}

function leavesLinkIdle({ linkBytesPerSecond, codecs }: Phase, codec: Codec): boolean {
  return codecs[codec].ratio * codecs[codec].bytesPerSecond <= 1.1 * linkBytesPerSecond;
}

/** Plays the phases, every figure off by up to `noise` of itself; gives each block's codec, by phase. */
function play(phases: readonly Phase[], noise = 0, choice: CompressionChoice = new CompressionChoice()): Codec[][] {
  const random = new Random(7);
  const noisy = (value: number): number => value * (1 + noise * (2 * (random.below(2 ** 30) / 2 ** 30) - 1));
  return phases.map((phase) => {
    const use = (codec: Codec, bytes: number): void => {
      const { ratio, bytesPerSecond } = phase.codecs[codec];
      choice.observe(codec, bytes, bytes * noisy(ratio), noisy(bytes / bytesPerSecond));
    };
    return Array.from({ length: phase.blocks }, () => {
      const sample = choice.wantsSample();
      if (sample !== undefined) use(sample, SAMPLE_BYTES);
      const codec = choice.choose();
      use(codec, BLOCK_BYTES);
      const { ratio, bytesPerSecond } = phase.codecs[codec];
      const offered = noisy(ratio * bytesPerSecond);
      const taken = noisy(phase.linkBytesPerSecond);
      choice.observeLink(Math.min(offered, taken), taken < offered);
      return codec;
    });
  });
}

function steady(linkBytesPerSecond: number, codecs: Behaviours = pages, blocks = 60): Phase {
  return { linkBytesPerSecond, codecs, blocks };
}

/** The codec of nearly all blocks, once the first of a phase have gone. */
function settledOn(codecs: readonly Codec[], skipped = 16): Codec | undefined {
  const settled = codecs.slice(skipped);
  return CODECS.find((codec) => settled.filter((used) => used === codec).length >= 0.9 * settled.length);
}

describe("the choice of a codec", () => {
  it.each([
    [10e9, "none"],
    [1e9, "none"],
    [200e6, "lz4"],
    [20e6, "zstd"],
    [1e6, "zstd"],
  ] as const)("on a link of %d bytes a second is %s", (link, codec) => {
    for (const noise of [0, 0.15]) expect(settledOn(play([steady(link)], noise)[0] as Codec[])).toBe(codec);
  });

  it("is none for bytes that do not compress, on any link", () => {
    const isGood = (link: number): void => {
      const phase = steady(link, incompressible);
      const used = play([phase])[0] as Codec[];
      for (const codec of used.slice(16)) {
        expect(seconds(phase, codec)).toBeLessThanOrEqual(1.1 * seconds(phase, "none"));
      }
    };
    for (const link of [1e6, 100e6, 400e6, 5e9]) isGood(link);
    expect(settledOn(play([steady(5e9, incompressible)])[0] as Codec[])).toBe("none");
    expect(settledOn(play([steady(100e6), steady(1e9, incompressible)])[1] as Codec[])).toBe("none");
  });

  it("follows a link that changes its speed, both ways", () => {
    const links = [10e6, 5e9, 10e6, 200e6, 5e9, 200e6, 10e6];
    const played = play(links.map((link) => steady(link)));
    expect(played.map((codecs) => settledOn(codecs))).toEqual(["zstd", "none", "zstd", "lz4", "none", "lz4", "zstd"]);
  });

  it("leaves a slow codec within 6 blocks of a fast link's becoming slow", () => {
    const [, after] = play([steady(5e9), steady(10e6)]) as [Codec[], Codec[]];
    expect(after.slice(6).every((codec) => codec === "zstd")).toBe(true);
  });

  it("does not flap on noise between two codecs that are nearly as good", () => {
    const tie = steady((160e6 * 0.5) / 1.03, pages, 400);
    const choice = new CompressionChoice();
    play([tie], 0.1, choice);
    expect(choice.history.length).toBeLessThanOrEqual(24);
  });

  it("probes seldom where probes cost much", () => {
    // zstd does not quite fill this link, anything else fills it four times over.
    const deltas: Behaviours = {
      ...pages,
      lz4: { ratio: 0.3, bytesPerSecond: 500e6 },
      zstd: { ratio: 0.05, bytesPerSecond: 160e6 },
    };
    const used = play([steady(9e6, deltas, 400)])[0] as Codec[];
    expect(used.slice(16).filter((codec) => codec !== "zstd").length).toBeLessThanOrEqual(8);
    expect(used.slice(16, 100).filter((codec) => codec !== "zstd").length).toBeLessThanOrEqual(1);
  });

  it("takes at most 1.15 times as long as the best codec, from a few blocks after each change on", () => {
    const rate = (from: number, to: number): fc.Arbitrary<number> =>
      fc.double({ min: Math.log(from), max: Math.log(to), noNaN: true }).map(Math.exp);
    const codecs = fc.record({
      lz4: fc.record({ ratio: fc.double({ min: 0.1, max: 1.004, noNaN: true }), bytesPerSecond: rate(200e6, 1e9) }),
      zstdToLz4: fc.double({ min: 0.5, max: 1, noNaN: true }),
      slowness: fc.double({ min: 1.5, max: 5, noNaN: true }),
    });
    const phase = fc.record({ link: rate(1e6, 10e9), codecs }).map(({ link, codecs: { lz4, zstdToLz4, slowness } }) =>
      steady(
        link,
        {
          none: pages.none,
          lz4,
          zstd: { ratio: lz4.ratio * zstdToLz4, bytesPerSecond: lz4.bytesPerSecond / slowness },
        },
        600,
      ),
    );
    fc.assert(
      fc.property(fc.array(phase, { minLength: 1, maxLength: 4 }), fc.constantFrom(0, 0.05), (phases, noise) => {
        const played = play(phases, noise);
        for (const [index, phase] of phases.entries()) {
          const isHidden = index > 0 && leavesLinkIdle(phase, played[index - 1]?.at(-1) as Codec);
          const settled = (played[index] as Codec[]).slice(isHidden ? HIDDEN_BLOCKS : FEW_BLOCKS);
          const spent = settled.reduce((sum, codec) => sum + seconds(phase, codec), 0);
          const best = settled.length * Math.min(...CODECS.map((codec) => seconds(phase, codec)));
          expect(spent / best).toBeLessThanOrEqual(1.15);
        }
      }),
      { numRuns: 600, seed: 11 },
    );
  });
});

describe("what it wants and tells", () => {
  it("wants zstd tried once LZ4 waits for the link, and again after 16 blocks", () => {
    const choice = new CompressionChoice();
    expect(choice.choose()).toBe("lz4");
    expect(choice.wantsSample()).toBeUndefined();
    choice.observe("lz4", 1e6, 5e5, 0.002);
    choice.observeLink(50e6, true);
    expect(choice.wantsSample()).toBe("zstd");
    choice.observe("zstd", 65536, 20000, 0.001);
    expect(choice.wantsSample()).toBeUndefined();
    for (let block = 0; block < 15; block++) choice.observe("lz4", 1e6, 5e5, 0.002);
    expect(choice.wantsSample()).toBeUndefined();
    choice.observe("lz4", 1e6, 5e5, 0.002);
    expect(choice.wantsSample()).toBe("zstd");
  });

  it("does not want zstd tried where LZ4 does not fill the link", () => {
    const choice = new CompressionChoice();
    choice.observe("lz4", 1e6, 5e5, 0.002);
    choice.observeLink(500e6, true);
    expect(choice.wantsSample()).toBeUndefined();
  });

  it("never takes a codec that the other end lacks", () => {
    const choice = new CompressionChoice(["none", "lz4"]);
    expect(new Set(play([steady(1e6)], 0, choice)[0])).toEqual(new Set(["lz4"]));
    expect(new CompressionChoice(["none"]).choose()).toBe("none");
  });

  it("explains itself with the figures", () => {
    const choice = new CompressionChoice();
    expect(choice.explanation).toContain("the link is not measured yet");
    play([steady(20e6)], 0, choice);
    expect(choice.explanation).toBe(
      "zstd is used: the link takes 20 MB/s; none sends bytes as they are, so it moves 20 MB/s; " +
        "lz4 makes 50 % at 500 MB/s, so it moves 40 MB/s; zstd makes 35 % at 160 MB/s, so it moves 57.1 MB/s.",
    );
  });

  it("keeps the last 32 switches and no more", () => {
    const choice = new CompressionChoice();
    const links = Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? 5e6 : 8e9));
    play(
      links.map((link) => steady(link, pages, 25)),
      0,
      choice,
    );
    expect(choice.history.length).toBe(32);
    for (const { from, to, explanation } of choice.history) {
      expect(from).not.toBe(to);
      expect(explanation).toMatch(new RegExp(`^${to} is used: `));
    }
  });

  it("takes empty blocks and a silent link for no news, and refuses figures that are none", () => {
    const choice = new CompressionChoice();
    choice.observe("lz4", 0, 0, 0);
    choice.observeLink(0, true);
    expect(choice.explanation).toContain("lz4 is not measured yet");
    for (const bad of [NaN, Infinity, -1]) {
      const refused = expect.objectContaining({ code: "argument" });
      expect(() => choice.observe("lz4", bad, 1, 1)).toThrow(refused);
      expect(() => choice.observe("lz4", 1, bad, 1)).toThrow(refused);
      expect(() => choice.observe("lz4", 1, 1, bad)).toThrow(refused);
      expect(() => choice.observeLink(bad, true)).toThrow(refused);
    }
  });

  it("tells whether the link leaves a slower codec its time", () => {
    const choice = new CompressionChoice();
    expect(choice.isLinkSlowerThan("lz4", 1)).toBe(false);
    choice.observe("lz4", 1000, 500, 1e-6);
    expect(choice.isLinkSlowerThan("lz4", 1)).toBe(false);
    // 500 bytes take 4 µs, and to make them took 1 µs.
    choice.observeLink(125e6, true);
    expect(choice.isLinkSlowerThan("lz4", 3.9)).toBe(true);
    expect(choice.isLinkSlowerThan("lz4", 4.1)).toBe(false);
    expect(choice.isLinkSlowerThan("zstd", 1)).toBe(false);
  });
});
