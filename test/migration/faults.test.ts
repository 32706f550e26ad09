import { describe, expect, it } from "vitest";
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
async function playAll(scripts: readonly Script[], canReconnect: boolean, check: (played: Played) => void) {
  const left = scripts.entries();
  const player = async (): Promise<void> => {
    for (const [, script] of left) {
      const owners = new Owners();
      try {
        const wrap = (connection: Connection): Connection => new FaultyConnection(connection, script);
        check({ ...(await move({ owners, wrap, canReconnect })), owners, script });
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
async function framesOf(): Promise<Record<Script["direction"], number[]>> {
  const frames: Record<Script["direction"], number[]> = { sent: [], received: [] };
  const owners = new Owners();
  const result = await move({
    owners,
    options: { timeoutMs: 10_000 },
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
  const frames = await framesOf();

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
        await playAll(scripts, false, ({ owners, ...result }) => owners.expectOne(result));
      });

      it(`${direction}, ${fault}, and the source can ask: nothing stays in doubt`, async () => {
        await playAll(scripts, true, ({ owners, ...result }) => {
          owners.expectOne(result);
          expect(result.report.outcome).not.toBe("in-doubt");
        });
      });
    }
  }
});
