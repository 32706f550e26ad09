import { describe, expect, it } from "vitest";
import { LoggingMemoryGuest, MemoryGuest } from "../../src/guest/memory/guest.js";
import { MemoryHost } from "../../src/guest/memory/host.js";
import type { Arrival } from "../../src/migration/arrival.js";
import { Destination } from "../../src/migration/destination.js";
import { migrate } from "../../src/migration/migrate.js";
import type { Connection } from "../../src/transport/connection.js";
import { connectionPair } from "../../src/transport/pair.js";
import { connectTcp, listenTcp } from "../../src/transport/tcp.js";
import { FrameType } from "../../src/wire/messages.js";
import { FaultyConnection, type Script } from "../support/faulty-connection.js";
import { move, Owners, type Result, type Setting } from "../support/one-owner.js";
import { joined } from "../transport/ends.js";

/** Long enough that no timeout plays a part. */
const PATIENT = { options: { timeoutMs: 20_000 }, destinationOptions: { timeoutMs: 20_000 } };

const host = "127.0.0.1";

async function broken(): Promise<never> {
  throw new Error("broken by the test");
}

/** Migrates, and expects that exactly one end owns the machine. */
async function moveOne(setting: Setting): Promise<Result> {
  const result = await move(setting);
  setting.owners.expectOne(result);
  setting.owners.stop();
  return result;
}

describe("a guest that fails", () => {
  for (const method of ["pause", "saveState"] as const) {
    it(`${method}: it runs on here, and the host discards`, async () => {
      const owners = new Owners();
      owners.guest[method] = broken;
      const { report, refusal } = await moveOne({ owners, ...PATIENT });
      expect(report.error?.code).toBe("guest-failed");
      expect(report.error?.message).toContain("broken by the test");
      expect(refusal?.code).toBe("peer-failed");
      expect(owners.discarded).toBe(1);
    });
  }

  it("resume: it is said that the machine stands still", async () => {
    const owners = new Owners();
    owners.guest.saveState = broken;
    owners.guest.resume = broken;
    const { report } = await move({ owners, ...PATIENT });
    expect(report.error).toMatchObject({ code: "guest-failed" });
    expect(report.error?.message).toContain("could not be resumed");
    expect([owners.isRunningHere, owners.isRunningThere]).toEqual([false, false]);
    owners.stop();
  });

  it("throttle, when it is to be undone: the machine runs on all the same", async () => {
    const owners = new Owners();
    // Never fast enough, so that it comes to throttling.
    const speeds: number[] = [];
    owners.guest.throttle = async (fraction) => {
      speeds.push(fraction);
      if (fraction === 0) await broken();
    };
    owners.guest.saveState = broken;
    const options = { ...PATIENT.options, downtimeLimitMs: 1e-9, maxRounds: 40, onStall: "switch" } as const;
    const { report } = await moveOne({ owners, ...PATIENT, options });
    expect(speeds.at(-1)).toBe(0);
    expect(report.error?.message).toContain("could not be resumed");
  });

  it("release, after the machine has gone: the migration is complete, and the report tells", async () => {
    const owners = new Owners();
    const { release } = owners.guest;
    owners.guest.release = async () => {
      await release.call(owners.guest);
      await broken();
    };
    const { report } = await moveOne({ owners, ...PATIENT });
    expect(report).toMatchObject({ outcome: "completed", error: { code: "guest-failed" } });
  });

  it("a state that is larger than announced: it runs on here", async () => {
    const owners = new Owners();
    owners.guest.saveState = async () => new Uint8Array(5000);
    expect((await moveOne({ owners, ...PATIENT })).report.error?.code).toBe("guest-failed");
  });
});

describe("a host that fails", () => {
  for (const method of ["prepare", "loadState", "start"] as const) {
    it(`${method}: the machine runs on at the source`, async () => {
      const owners = new Owners();
      owners.host[method] = broken;
      const { report, refusal } = await moveOne({ owners, ...PATIENT });
      expect(report).toMatchObject({ outcome: "failed", error: { code: "peer-failed" } });
      expect(report.error?.message).toContain("broken by the test");
      expect(refusal?.code).toBe("host-failed");
      expect(owners.discarded).toBe(1);
    });
  }

  it("start, over TCP: the news arrives although the connection is broken off behind it", async () => {
    for (let times = 0; times < 20; times++) {
      const owners = new Owners();
      owners.host.start = broken;
      const open = () =>
        joined(
          (arrive) => listenTcp({ host, port: 0 }, arrive),
          (port) => connectTcp({ host, port }),
        );
      expect((await moveOne({ owners, ...PATIENT, open })).report.error?.code).toBe("peer-failed");
    }
  });

  it("before an asynchronous function has begun: the same", async () => {
    const owners = new Owners();
    owners.host.start = () => {
      throw new Error("broken by the test");
    };
    expect((await moveOne({ owners, ...PATIENT })).refusal?.code).toBe("host-failed");
  });

  it("discard: the source is told, since the machine never ran, and the destination's end says what is left", async () => {
    const owners = new Owners();
    const { discard } = owners.host;
    owners.host.loadState = broken;
    owners.host.discard = async () => {
      await discard.call(owners.host);
      await broken();
    };
    const { report, refusal } = await moveOne({ owners, ...PATIENT });
    expect(report.outcome).toBe("failed");
    expect(refusal?.code).toBe("host-failed");
    expect(refusal?.message).toContain("could not be thrown away");
  });

  it("start and discard: nobody knows whether it runs, so the source does not run it, however often it asks", async () => {
    const owners = new Owners();
    owners.host.start = broken;
    owners.host.discard = broken;
    const options = { ...PATIENT.options, inDoubtTimeoutMs: 300 };
    const { report } = await move({ owners, ...PATIENT, options, canReconnect: true });
    expect(report.outcome).toBe("in-doubt");
    expect(owners.isRunningHere).toBe(false);
    owners.stop();
  });

  it("writing a page: the contents differ, and the machine runs on at the source", async () => {
    const owners = new Owners();
    const { writePages } = owners.host;
    owners.host.writePages = (firstPage, from) => {
      const damaged = from.slice();
      if (firstPage <= 7 && firstPage + from.length / 4096 > 7) damaged[(7 - firstPage) * 4096 + 99] = 0x5a;
      writePages.call(owners.host, firstPage, damaged);
    };
    const { report, refusal } = await moveOne({ owners, ...PATIENT });
    expect(report.error?.code).toBe("content-differs");
    expect(report.verification.verified).toBe(false);
    expect(refusal?.code).toBe("content-differs");
  });
});

/** Lets a migration go without faults and calls `meet` at a frame; does nothing where there is no such frame. */
function at(direction: Script["direction"], type: number, meet: () => void): NonNullable<Setting["wrap"]> {
  return (connection) => {
    const watched = new FaultyConnection(connection);
    watched.onFrame = (way, _, frameType) => {
      if (way === direction && frameType === type) meet();
    };
    return watched;
  };
}

describe("cancelling", () => {
  it("before it begins: nothing is sent", async () => {
    const owners = new Owners();
    const { report } = await moveOne({ owners, options: { signal: AbortSignal.abort() } });
    expect(report).toMatchObject({ outcome: "cancelled", transferredBytes: 0 });
    expect(owners.prepared).toBe(0);
  });

  for (const direction of ["sent", "received"] as const) {
    it(`at every frame ${direction}: the machine runs on here, unless it was given away`, async () => {
      const outcomes = new Set<string>();
      for (const [name, type] of Object.entries(FrameType)) {
        const owners = new Owners();
        const cancellation = new AbortController();
        const wrap = at(direction, type, () => cancellation.abort());
        const options = { ...PATIENT.options, signal: cancellation.signal };
        const { report } = await moveOne({ owners, ...PATIENT, options, wrap });
        const isTooLate = name === "commit" || name === "running" || !cancellation.signal.aborted;
        expect(report.outcome, name).toBe(isTooLate ? "completed" : "cancelled");
        outcomes.add(report.outcome);
      }
      expect(outcomes).toEqual(new Set(["completed", "cancelled"]));
    });
  }
});

describe("a handover in doubt", () => {
  function losingTheAnswer(connection: Connection): Connection {
    const faulty = new FaultyConnection(connection);
    faulty.onFrame = (_, __, type) => {
      if (type === FrameType.running) faulty.abort(new Error("cut before the answer is read"));
    };
    return faulty;
  }

  it("stays so where the source cannot ask, and the machine stands still there", async () => {
    const owners = new Owners();
    const { report, arrival } = await moveOne({ owners, ...PATIENT, wrap: losingTheAnswer });
    expect(report).toMatchObject({ outcome: "in-doubt", error: { code: "in-doubt" } });
    expect(arrival).toBeDefined();
  });

  it("is resolved by asking: the answer was lost, so the migration completed", async () => {
    const owners = new Owners();
    const { report } = await moveOne({ owners, ...PATIENT, wrap: losingTheAnswer, canReconnect: true });
    expect(report.outcome).toBe("completed");
  });

  it("a commit that comes after the source has asked starts nothing", async () => {
    const owners = new Owners();
    let commitsLost = 0;
    const wrap: Setting["wrap"] = (connection) => ({
      peer: undefined,
      receive: () => connection.receive(),
      close: () => connection.close(),
      // The frame is under way for longer than the connection lives: neither its end nor anything else overtakes it.
      abort: () => {},
      async send(bytes) {
        if (bytes[0] !== FrameType.commit) return await connection.send(bytes);
        commitsLost += 1;
        setTimeout(() => connection.send(bytes).catch(() => {}), 2000);
      },
    });
    const options = { timeoutMs: 1000 };
    const destinationOptions = { timeoutMs: 10_000 };
    const { report, arrival } = await moveOne({ owners, options, destinationOptions, wrap, canReconnect: true });
    expect(commitsLost).toBe(1);
    expect(report.outcome).toBe("failed");
    expect(arrival).toBeUndefined();
    expect(owners.discarded).toBe(1);
  });

  it("a way to reconnect that never answers ends in doubt", async () => {
    const owners = new Owners();
    const reconnect = () => new Promise<never>(() => {});
    const { report } = await moveOne({
      owners,
      options: { reconnect, inDoubtTimeoutMs: 100, timeoutMs: 5_000 },
      wrap: losingTheAnswer,
    });
    expect(report.outcome).toBe("in-doubt");
  });
});

describe("a second attempt after one that failed", () => {
  for (const Guest of [MemoryGuest, LoggingMemoryGuest]) {
    it(`${Guest.name} arrives whole`, async () => {
      const guest = new Guest({ memoryBytes: 1 << 20 });
      const attempt = async (host: MemoryHost): Promise<Arrival | undefined> => {
        const [here, there] = connectionPair();
        const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 1 << 20 });
        const arriving = destination.receive(there).catch(() => undefined);
        const report = migrate(guest, here, { downtimeLimitMs: 10_000 }).report.catch(() => undefined);
        return (await Promise.all([arriving, report]))[0];
      };
      const failing = new MemoryHost();
      failing.loadState = broken;
      expect(await attempt(failing)).toBeUndefined();
      expect(guest.content.isRunning).toBe(true);
      const host = new MemoryHost();
      expect(await attempt(host)).toBeDefined();
      expect(host.content?.wrongPages()).toEqual([]);
      host.content?.stop();
    });
  }
});
