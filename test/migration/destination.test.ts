import { describe, expect, it } from "vitest";
import { MemoryHost } from "../../src/guest/memory/host.js";
import { createKernels } from "../../src/kernel/load.js";
import type { ArrivalRequest, DestinationOptions } from "../../src/migration/arrival.js";
import { Channel, expectFrame } from "../../src/migration/channel.js";
import { Destination } from "../../src/migration/destination.js";
import { digestOf, sha256, zeroFingerprints } from "../../src/migration/fingerprints.js";
import { connectionPair } from "../../src/transport/pair.js";
import { decodeMessage, FrameType, type Messages } from "../../src/wire/messages.js";
import { Owners } from "../support/one-owner.js";

const TIMEOUT_MS = 10_000;
/** Lets everything that waits for a promise go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const code = (expected: string): unknown => expect.objectContaining({ name: "MigrationError", code: expected });

/** What the source of a memory guest of 1 MiB announces. */
function announcementOf(session: string): Messages["announce"] {
  const owners = new Owners();
  owners.stop();
  const { machine } = owners.guest;
  const machineOnWire = machine as Messages["announce"]["machine"];
  const fingerprintSeed = "0000000000000001";
  return {
    session: session.padEnd(64, "0"),
    machine: machineOnWire,
    stateMaxBytes: 4096,
    fingerprintSeed,
    compression: "none",
  };
}

function destinationOf(options: Partial<DestinationOptions> = {}): {
  destination: Destination;
  requests: ArrivalRequest[];
} {
  const requests: ArrivalRequest[] = [];
  const destination = new Destination({
    host: (request) => {
      requests.push(request);
      return new MemoryHost();
    },
    authorise: () => true,
    memoryLimitBytes: 1 << 20,
    timeoutMs: TIMEOUT_MS,
    ...options,
  });
  return { destination, requests };
}

/** A connection to a destination on which nothing but the greeting was said. */
async function connect(destination: Destination): Promise<{ source: Channel; arriving: Promise<unknown> }> {
  const [here, there] = connectionPair();
  const arriving = destination.receive(there);
  arriving.catch(() => {});
  return { source: await Channel.open(here, TIMEOUT_MS), arriving };
}

async function ask(destination: Destination, session: string): Promise<string> {
  const { source, arriving } = await connect(destination);
  await source.send("ask", { session: session.padEnd(64, "0") });
  const { body } = await expectFrame(source, TIMEOUT_MS, FrameType.outcome);
  expect(await arriving).toBeUndefined();
  return decodeMessage("outcome", body).outcome;
}

describe("who is let in", () => {
  it("nobody with more memory or state than is allowed; nobody is asked, and no host", async () => {
    let asked = 0;
    const authorise = (): true => {
      asked += 1;
      return true;
    };
    for (const limits of [{ memoryLimitBytes: (1 << 20) - 1 }, { stateLimitBytes: 4095 }]) {
      const { destination, requests } = destinationOf({ authorise, ...limits });
      const { source, arriving } = await connect(destination);
      await source.send("announce", announcementOf("a"));
      await expect(expectFrame(source, TIMEOUT_MS, FrameType.accept)).rejects.toEqual(code("memory-limit"));
      await expect(arriving).rejects.toEqual(code("memory-limit"));
      expect(requests).toEqual([]);
    }
    expect(asked).toBe(0);
  });

  it("nobody who is refused; the source hears why", async () => {
    const { destination, requests } = destinationOf({ authorise: () => "Not on a Monday." });
    const { source, arriving } = await connect(destination);
    await source.send("announce", announcementOf("b"));
    await expect(expectFrame(source, TIMEOUT_MS, FrameType.accept)).rejects.toThrow("Not on a Monday.");
    await expect(arriving).rejects.toEqual(code("refused"));
    expect(requests).toEqual([]);
  });

  it("who decides is told the machine and the peer, and may fail", async () => {
    const asked: ArrivalRequest[] = [];
    const { destination, requests } = destinationOf({
      authorise: async (request) => {
        asked.push(request);
        throw new Error("no directory");
      },
    });
    const { source, arriving } = await connect(destination);
    await source.send("announce", announcementOf("c"));
    await expect(arriving).rejects.toEqual(code("host-failed"));
    expect(asked).toEqual([{ machine: announcementOf("c").machine, peer: undefined }]);
    expect(requests).toEqual([]);
  });

  it("no session twice, whether it is under way or over", async () => {
    const { destination, requests } = destinationOf();
    const first = await connect(destination);
    await first.source.send("announce", announcementOf("d"));
    await expectFrame(first.source, TIMEOUT_MS, FrameType.accept);
    for (let times = 0; times < 2; times++) {
      const second = await connect(destination);
      await second.source.send("announce", announcementOf("d"));
      await expect(second.arriving).rejects.toEqual(code("refused"));
      await expect(expectFrame(second.source, TIMEOUT_MS, FrameType.accept)).rejects.toEqual(code("refused"));
      // The second time the session is over.
      first.source.connection.abort(new Error("gone"));
      await expect(first.arriving).rejects.toEqual(code("connection-lost"));
    }
    expect(requests).toHaveLength(1);
  });
});

describe("what is answered to a source that asks", () => {
  it("nothing is known of a session that never was, and it may still come", async () => {
    const { destination } = destinationOf();
    expect(await ask(destination, "e")).toBe("unknown");
    const { source } = await connect(destination);
    await source.send("announce", announcementOf("e"));
    await expectFrame(source, TIMEOUT_MS, FrameType.accept);
  });

  it("one under way is discarded by the question, and its source hears so", async () => {
    const owners = new Owners();
    const { destination } = destinationOf({ host: () => owners.host });
    const { source, arriving } = await connect(destination);
    await source.send("announce", announcementOf("f"));
    await expectFrame(source, TIMEOUT_MS, FrameType.accept);
    expect(await ask(destination, "f")).toBe("discarded");
    expect(owners.host.content).toBeUndefined();
    await expect(arriving).rejects.toEqual(code("connection-lost"));
    await expect(expectFrame(source, TIMEOUT_MS, FrameType.ready)).rejects.toEqual(code("peer-failed"));
    expect(await ask(destination, "f")).toBe("discarded");
    expect(owners.discarded).toBe(1);
    owners.stop();
  });
});

describe("discarding while the host is at work", () => {
  it("a host that is being made or prepared is discarded when it is done, and goes no further", async () => {
    for (const step of ["host", "prepare"] as const) {
      const owners = new Owners();
      let begun = (): void => {};
      let end = (): void => {};
      const working = new Promise<void>((resolve) => {
        begun = resolve;
      });
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      const steps: string[] = [];
      const slowly = async (name: string): Promise<void> => {
        steps.push(`${name} begins`);
        if (name === step) {
          begun();
          await ended;
        }
        steps.push(`${name} ends`);
      };
      const { prepare, discard } = owners.host;
      owners.host.prepare = async (machine) => {
        await slowly("prepare");
        await prepare.call(owners.host, machine);
      };
      owners.host.discard = async () => {
        steps.push("discard");
        await discard.call(owners.host);
      };
      const { destination } = destinationOf({
        host: async () => {
          await slowly("host");
          return owners.host;
        },
      });
      const { source, arriving } = await connect(destination);
      await source.send("announce", announcementOf("1"));
      await working;
      const closing = destination.close();
      end();
      await closing;
      await expect(arriving).rejects.toEqual(code("cancelled"));
      const before = step === "host" ? [] : ["host begins", "host ends"];
      expect(steps).toEqual([...before, `${step} begins`, `${step} ends`, "discard"]);
      expect(owners.host.content).toBeUndefined();
      owners.stop();
    }
  });

  it("a source that waits for its destination hears that it was closed", async () => {
    const { destination } = destinationOf();
    const { source, arriving } = await connect(destination);
    await source.send("announce", announcementOf("2"));
    await expectFrame(source, TIMEOUT_MS, FrameType.accept);
    await destination.close();
    await expect(expectFrame(source, TIMEOUT_MS, FrameType.ready)).rejects.toThrow("The destination was closed.");
    await expect(arriving).rejects.toEqual(code("cancelled"));
  });
});

describe("a commit that comes while the machine is being discarded", () => {
  it.each(["close", "ask"] as const)("starts nothing (%s)", async (cause) => {
    const owners = new Owners();
    owners.stop();
    let start = 0;
    owners.host.start = async () => {
      start += 1;
    };
    let discarded = (): void => {};
    owners.host.discard = () =>
      new Promise((resolve) => {
        discarded = resolve;
      });
    const { destination } = destinationOf({ host: () => owners.host });
    const { source, arriving } = await connect(destination);
    const announcement = announcementOf("3");
    await source.send("announce", announcement);
    await expectFrame(source, TIMEOUT_MS, FrameType.accept);
    // All zero, memory and state, as it was prepared.
    const zero = zeroFingerprints(await createKernels(), announcement.fingerprintSeed, 4096, 256);
    await source.send("verify", { digest: await digestOf(zero, sha256(new Uint8Array(8))), stateBytes: 8 });
    await expectFrame(source, TIMEOUT_MS, FrameType.ready);

    const asker = cause === "ask" ? await connect(destination) : undefined;
    const ending = asker?.source.send("ask", { session: announcement.session }) ?? destination.close();
    await settle();
    await source.send("commit", {});
    await settle();
    discarded();
    await ending;
    await expect(arriving).rejects.toEqual(code(cause === "ask" ? "connection-lost" : "cancelled"));
    expect(start).toBe(0);
    await asker?.arriving;
    expect(await ask(destination, "3")).toBe("discarded");
  });
});
