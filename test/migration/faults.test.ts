import { describe, expect, it } from "vitest";
import type { MigrateOptions } from "../../src/migration/options.js";
import type { Connection } from "../../src/transport/connection.js";
import { FrameType } from "../../src/wire/messages.js";
import { FAULTS, FaultyConnection, type Script } from "../support/faulty-connection.js";
import { move, Owners, type Result } from "../support/one-owner.js";

/** So many migrations at a time: most of them wait for a timeout. */
const AT_A_TIME = 6;

interface Played extends Result {
  readonly owners: Owners;
  readonly script: Script;
}

/** Plays every script, some at a time, and hands each to `check`. */
async function playAll(
  scripts: readonly Script[],
  canReconnect: boolean,
  options: Partial<MigrateOptions>,
  check: (played: Played) => void,
): Promise<void> {
  const left = scripts.entries();
  const player = async (): Promise<void> => {
    for (const [, script] of left) {
      const owners = new Owners();
      try {
        const wrap = (connection: Connection): Connection => new FaultyConnection(connection, script);
        const setting = { owners, wrap, canReconnect, options, destinationOptions: { lostAfterMs: 200 } };
        check({ ...(await move(setting)), owners, script });
      } catch (cause) {
        throw new Error(`Frame ${script.frame} ${script.direction}, ${script.fault}`, { cause });
      } finally {
        owners.stop();
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, player));
}

/** The types of the frames that a migration without faults sends and receives. */
async function framesOf(options: Partial<MigrateOptions>): Promise<Record<Script["direction"], number[]>> {
  const frames: Record<Script["direction"], number[]> = { sent: [], received: [] };
  const owners = new Owners();
  const result = await move({
    owners,
    options: { ...options, timeoutMs: 10_000 },
    destinationOptions: { timeoutMs: 10_000 },
    wrap(connection) {
      const watched = new FaultyConnection(connection);
      watched.onFrame = (direction, frame, type) => {
        frames[direction][frame] = type;
      };
      return watched;
    },
  });
  owners.expectOne(result);
  expect(result.report.outcome).toBe("completed");
  owners.stop();
  return frames;
}

describe("every frame meets every fault, and exactly one end owns the machine", async () => {
  const frames = await framesOf({});

  it("a migration without faults has the frames that the tests count on", () => {
    expect(frames.sent.at(0)).toBe(FrameType.hello);
    expect(frames.sent.at(-1)).toBe(FrameType.commit);
    expect(frames.received.at(-1)).toBe(FrameType.running);
  });

  for (const direction of ["sent", "received"] as const) {
    for (const fault of FAULTS) {
      // The number of rounds varies: a frame or two beyond what was counted.
      const scripts = Array.from({ length: frames[direction].length + 2 }, (_, frame) => ({ direction, fault, frame }));

      it(`${direction}, ${fault}`, async () => {
        await playAll(scripts, false, {}, ({ owners, ...result }) => owners.expectOne(result));
      });

      it(`${direction}, ${fault}, and the source can ask: nothing stays in doubt`, async () => {
        await playAll(scripts, true, {}, ({ owners, ...result }) => {
          owners.expectOne(result);
          expect(result.report.outcome).not.toBe("in-doubt");
        });
      });
    }
  }
});

describe("the same where the memory follows the machine: it runs here, or there, or both ends know that it is lost", async () => {
  const options = { strategy: "postcopy", lostAfterMs: 200 } as const;
  const frames = await framesOf(options);

  it("a migration without faults has the frames that the tests count on", () => {
    expect(frames.sent.at(-1)).toBe(FrameType.allSent);
    expect(frames.received.at(-1)).toBe(FrameType.allHere);
  });

  for (const direction of ["sent", "received"] as const) {
    for (const fault of FAULTS) {
      const { length } = frames[direction];
      // Of the many frames in the middle, which are alike, some.
      const isPlayed = (frame: number): boolean => frame < 12 || frame > length - 6 || frame % 8 === 0;
      const numbers = Array.from({ length: length + 2 }, (_, frame) => frame).filter(isPlayed);
      const scripts = numbers.map((frame) => ({ direction, fault, frame }));

      it(`${direction}, ${fault}`, async () => {
        await playAll(scripts, true, options, ({ owners, ...result }) => {
          owners.expectOne(result);
          expect(result.report.outcome).not.toBe("in-doubt");
          if (result.report.outcome === "lost") expect(result.refusal?.code).toBe("machine-lost");
        });
      });
    }
  }
});
