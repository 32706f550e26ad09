import { afterEach, describe, expect, it } from "vitest";
import { encodeState } from "../../src/guest/memory/state.js";
import { Channel, expectFrame } from "../../src/migration/channel.js";
import { Destination } from "../../src/migration/destination.js";
import { sha256 } from "../../src/migration/fingerprints.js";
import { type MigrationFailure, migrate } from "../../src/migration/migrate.js";
import type { MigrateOptions } from "../../src/migration/options.js";
import { createPageEncoder } from "../../src/page/create.js";
import { connectionPair } from "../../src/transport/pair.js";
import { loadChecksum } from "../../src/wire/checksum.js";
import { encodeFrame } from "../../src/wire/frame.js";
import { BASE_MAX_BYTES, FrameType, type Messages } from "../../src/wire/messages.js";
import { encodePageRuns } from "../../src/wire/page-runs.js";
import { toHex } from "../support/bytes.js";
import { Owners } from "../support/one-owner.js";

const MIB = 1 << 20;
const TIMEOUT_MS = 400;
const checksum = await loadChecksum();

/** What a test of a destination or a source may hold beside the guest. */
const ALLOWED_BYTES = 64 * MIB;

let owners = new Owners();
owners.stop();
afterEach(() => owners.stop());

function heldBytes(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}

/** Runs, and expects that the process does not hold much more at any time meanwhile. */
async function withinMemory<T>(task: () => Promise<T>): Promise<T> {
  const before = heldBytes();
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, heldBytes());
  }, 5);
  try {
    return await task();
  } finally {
    clearInterval(watch);
    expect(Math.max(most, heldBytes()) - before).toBeLessThan(ALLOWED_BYTES);
  }
}

/** A frame whose header says anything at all. */
function rawFrame(type: number, length: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const frame = encodeFrame(checksum, type, 1, body);
  new DataView(frame.buffer).setUint32(4, length, true);
  return frame;
}

/** Frames that no limit of the protocol allows to either end. */
const BAD_FRAMES: Readonly<Record<string, () => Uint8Array>> = {
  "a batch of 4 GiB": () => rawFrame(FrameType.batch, 0xffff_ffff),
  "a message of 4 GiB": () => rawFrame(FrameType.fail, 0xffff_ffff),
  "an optional frame of 4 GiB": () => rawFrame(200, 0xffff_ffff),
  "an unknown frame": () => encodeFrame(checksum, 99, 1, new Uint8Array(0)),
  "a frame of type 0": () => encodeFrame(checksum, 0, 1, new Uint8Array(0)),
  "a farewell that is not JSON": () => encodeFrame(checksum, FrameType.fail, 1, new Uint8Array(9)),
};

describe("a hostile source", () => {
  const { machine } = owners.guest;
  const GOOD: Messages["announce"] = {
    session: "5".repeat(64),
    machine,
    stateMaxBytes: 4096,
    fingerprintSeed: "0".repeat(16),
    compression: "none",
  };
  type Attack = (source: Channel) => Promise<void>;

  /** Lets an attack on a destination happen; how it ended. Everything is gone afterwards, and nothing runs. */
  async function attack(play: Attack): Promise<{ code: string; prepared: number }> {
    owners = new Owners();
    owners.guest.content.stop();
    const options = { host: () => owners.host, authorise: () => true as const, memoryLimitBytes: MIB };
    const destination = new Destination({ ...options, stateLimitBytes: 4096, timeoutMs: TIMEOUT_MS });
    const [here, there] = connectionPair();
    return await withinMemory(async () => {
      const arriving = destination.receive(there).then(
        () => "arrived",
        (error) => error.code as string,
      );
      const source = await Channel.open(here, TIMEOUT_MS);
      await play(source).catch(() => {});
      const code = await arriving;
      expect(owners.host.content).toBeUndefined();
      expect(owners.discarded).toBe(owners.prepared);
      return { code, prepared: owners.prepared };
    });
  }

  /** Announces and waits until the destination is prepared. */
  const announced =
    (play: Attack): Attack =>
    async (source) => {
      await source.send("announce", GOOD);
      await expectFrame(source, TIMEOUT_MS, FrameType.accept);
      await play(source);
    };

  const region = (byteLength: number): { name: string; byteLength: number } => ({ name: "ram", byteLength });
  const ANNOUNCEMENTS: Readonly<Record<string, [Partial<Messages["announce"]>, string]>> = {
    "a region of 2^53 bytes": [{ machine: { ...machine, regions: [region(2 ** 53)] } }, "protocol"],
    "a region of 2^53 - 1 bytes": [{ machine: { ...machine, regions: [region(2 ** 53 - 1)] } }, "memory-limit"],
    "256 regions, each of all there is": [
      { machine: { ...machine, regions: Array.from({ length: 256 }, () => region(MIB)) } },
      "memory-limit",
    ],
    "257 regions": [{ machine: { ...machine, regions: Array.from({ length: 257 }, () => region(1)) } }, "protocol"],
    "a region of less than nothing": [
      { machine: { ...machine, regions: [region(2 * MIB), region(-MIB)] } },
      "protocol",
    ],
    "a state of 2^53 - 1 bytes": [{ stateMaxBytes: 2 ** 53 - 1 }, "memory-limit"],
    "a state of half a byte": [{ stateMaxBytes: 0.5 }, "protocol"],
    "pages of 3000 bytes": [{ machine: { ...machine, pageBytes: 3000 } }, "protocol"],
    "a session that is no name": [{ session: "x" }, "protocol"],
  };
  for (const [name, [announcement, expected]] of Object.entries(ANNOUNCEMENTS)) {
    it(`announces ${name}: no host is prepared`, async () => {
      const result = await attack((source) => source.send("announce", { ...GOOD, ...announcement }));
      expect(result).toEqual({ code: expected, prepared: 0 });
    });
  }

  it("announces 256 regions of one byte: a host that cannot take them is discarded", async () => {
    const regions = Array.from({ length: 256 }, () => region(1));
    const result = await attack((source) => source.send("announce", { ...GOOD, machine: { ...machine, regions } }));
    expect(result).toEqual({ code: "host-failed", prepared: 1 });
  });

  for (const [name, frame] of Object.entries(BAD_FRAMES)) {
    it(`sends ${name} instead of an announcement`, async () => {
      expect(await attack((source) => source.connection.send(frame()))).toEqual({ code: "protocol", prepared: 0 });
    });

    it(`sends ${name} instead of pages`, async () => {
      const result = await attack(announced((source) => source.connection.send(frame())));
      expect(result).toEqual({ code: "protocol", prepared: 1 });
    });
  }

  const BODIES: Readonly<Record<string, [keyof Messages, object]>> = {
    "a state that is larger than announced": ["verify", { digest: "0".repeat(64), stateBytes: 4097 }],
    "a state of 2^53 - 1 bytes": ["verify", { digest: "0".repeat(64), stateBytes: 2 ** 53 - 1 }],
    "a commit that nobody is ready for": ["commit", {}],
    "a second announcement": ["announce", GOOD],
    "a question": ["ask", { session: GOOD.session }],
    "a message of the destination": ["ready", {}],
  };
  for (const [name, [message, body]] of Object.entries(BODIES)) {
    it(`after the announcement sends ${name}`, async () => {
      const result = await attack(announced((source) => source.send(message, body as never)));
      expect(result).toEqual({ code: "protocol", prepared: 1 });
    });
  }

  it("commits although its memory was not what it said", async () => {
    const result = await attack(
      announced(async (source) => {
        await source.send("verify", { digest: "0".repeat(64), stateBytes: 8 });
        await source.send("commit", {});
      }),
    );
    expect(result.code).toBe("content-differs");
  });

  describe("lets the machine run before its memory is there", () => {
    const state = encodeState(7);
    const digestOfState = async (): Promise<string> => toHex(new Uint8Array(await sha256(state)));

    /** Sends the state, and waits until the destination is ready to run the machine. */
    const switching = (play: Attack): Attack =>
      announced(async (source) => {
        const encoder = await createPageEncoder({ pageBytes: 4096, pageCount: MIB / 4096 + 1, compression: "none" });
        const page = new Uint8Array(4096);
        page.set(state);
        encoder.add(MIB / 4096, page);
        encoder.flush();
        await source.sendBytes(FrameType.batch, encoder.take() as Uint8Array);
        await expectFrame(source, TIMEOUT_MS, FrameType.received);
        await source.send("switchOver", { stateDigest: await digestOfState(), stateBytes: state.length });
        await expectFrame(source, TIMEOUT_MS, FrameType.ready);
        await play(source);
      });
    const clean = (source: Channel, firstPage: number, pageCount: number): Promise<void> =>
      source.sendBytes(FrameType.clean, encodePageRuns([{ firstPage, pageCount }])[0] as Uint8Array);

    const ATTACKS: Readonly<Record<string, Attack>> = {
      "calls a page clean twice": async (source) => {
        await clean(source, 5, 1);
        await clean(source, 4, 2);
      },
      "calls pages clean that the machine has not": (source) => clean(source, 255, 2),
      "sends a page that it had called clean": async (source) => {
        await clean(source, 0, 256);
        const encoder = await createPageEncoder({ pageBytes: 4096, pageCount: 257, compression: "none" });
        encoder.add(9, new Uint8Array(4096).fill(1));
        encoder.flush();
        await source.sendBytes(FrameType.batch, encoder.take() as Uint8Array);
      },
      "says that it is through before it gave the machine away": async (source) => {
        await clean(source, 0, 256);
        await source.send("allSent", { digest: "0".repeat(64) });
      },
      "begins a round": (source) => source.send("roundEnd", { round: 0 }),
      "switches over again": async (source) =>
        source.send("switchOver", { stateDigest: await digestOfState(), stateBytes: state.length }),
    };
    for (const [name, play] of Object.entries(ATTACKS)) {
      it(`${name}: it does not run`, async () => {
        expect(await attack(switching(play))).toEqual({ code: "protocol", prepared: 1 });
      });
    }

    it("sends another state than it says: it does not run", async () => {
      const lie = announced((source) => source.send("switchOver", { stateDigest: "0".repeat(64), stateBytes: 8 }));
      expect(await attack(lie)).toEqual({ code: "content-differs", prepared: 1 });
    });

    it.each<[string, Attack]>([
      ["leaves pages out", (source) => source.send("allSent", { digest: "0".repeat(64) })],
      ["gives it away twice", (source) => source.send("commit", {})],
      [
        "sends other pages than it says",
        async (source) => {
          await clean(source, 0, 256);
          await source.send("allSent", { digest: "0".repeat(64) });
        },
      ],
    ])("%s: it is lost, and told so", async (_, play) => {
      owners = new Owners();
      owners.guest.content.stop();
      const options = { host: () => owners.host, authorise: () => true as const, memoryLimitBytes: MIB };
      const [here, there] = connectionPair();
      const arriving = new Destination({ ...options, timeoutMs: TIMEOUT_MS }).receive(there);
      const lost = expect(arriving).rejects.toMatchObject({ code: "machine-lost" });
      const source = await Channel.open(here, TIMEOUT_MS);
      await switching(async () => {
        await source.send("commit", {});
        await expectFrame(source, TIMEOUT_MS, FrameType.running);
        await play(source);
      })(source);
      await expect(expectFrame(source, TIMEOUT_MS, FrameType.allHere)).rejects.toMatchObject({ code: "peer-failed" });
      await lost;
    });
  });

  it("sends batches that are none", async () => {
    for (const body of [new Uint8Array(0), new Uint8Array(16).fill(0xff), new Uint8Array(5000)]) {
      const result = await attack(announced((source) => source.sendBytes(FrameType.batch, body)));
      expect(result).toEqual({ code: "protocol", prepared: 1 });
    }
  });

  it("is alive for ever before it announces anything: its time ends", async () => {
    const result = await attack(async (source) => {
      for (;;) {
        await source.sendBytes(FrameType.alive, new Uint8Array(0));
        await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS / 10));
      }
    });
    expect(result).toEqual({ code: "timeout", prepared: 0 });
  });

  it("sends optional frames without end: they are passed over and not kept", async () => {
    const frame = encodeFrame(checksum, 200, 1, new Uint8Array(MIB));
    let sent = 0;
    await attack(
      announced(async (source) => {
        for (; sent < 300; sent++) {
          await source.connection.send(frame);
          await new Promise((resolve) => setImmediate(resolve));
        }
        await source.connection.close();
      }),
    );
    expect(sent).toBe(300);
  });

  it("never reads what it is sent: the destination does not wait for ever", async () => {
    owners = new Owners();
    owners.guest.content.stop();
    const [here, there] = connectionPair({ highWaterBytes: 4096 });
    const options = { host: () => owners.host, authorise: () => true as const, memoryLimitBytes: MIB };
    const arriving = new Destination({ ...options, timeoutMs: TIMEOUT_MS }).receive(there);
    const refusal = expect(arriving).rejects.toMatchObject({ code: "timeout" });
    const source = await Channel.open(here, TIMEOUT_MS);
    const flood = async (): Promise<void> => {
      await source.send("announce", GOOD);
      for (let round = 0; ; round++) {
        await source.send("roundEnd", { round });
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    flood().catch(() => {});
    await refusal;
    expect(owners.host.content).toBeUndefined();
  });
});

describe("a hostile destination", () => {
  type Defence = (destination: Channel) => Promise<void>;

  /** Migrates to a destination that plays what it likes; how it ended. The guest runs on. */
  async function migrateTo(play: Defence, options: Partial<MigrateOptions> = {}): Promise<string> {
    owners = new Owners();
    return await withinMemory(async () => {
      const [here, there] = connectionPair();
      const given = { compression: "none", stateMaxBytes: 4096, timeoutMs: TIMEOUT_MS, ...options } as const;
      const migrating = migrate(owners.guest, here, given).report.then(
        ({ outcome }) => outcome,
        (failure: MigrationFailure) => failure.code,
      );
      const destination = await Channel.open(there, TIMEOUT_MS);
      await play(destination).catch(() => {});
      const ended = await migrating;
      expect(owners.isRunningHere).toBe(ended !== "completed" && ended !== "in-doubt");
      return ended;
    });
  }

  /** Reads everything that comes, and answers nothing. */
  async function readOn(destination: Channel): Promise<void> {
    while ((await destination.receive(undefined)) !== undefined);
  }

  /** Lets itself be announced to, and accepts. */
  const accepting =
    (play: Defence, hasBase = false): Defence =>
    async (destination) => {
      await expectFrame(destination, TIMEOUT_MS, FrameType.announce);
      await destination.send("accept", { hasBase, isLazy: false });
      readOn(destination).catch(() => {});
      await play(destination);
    };

  for (const [name, frame] of Object.entries(BAD_FRAMES)) {
    it(`answers with ${name}`, async () => {
      expect(await migrateTo((destination) => destination.connection.send(frame()))).toBe("protocol");
    });
  }

  const pages = 256;
  it.each([
    ["more fingerprints than pages", [pages + 1]],
    ["one too many in a second frame", [pages, 1]],
    ["as many as a frame holds", [BASE_MAX_BYTES / 16]],
    ["a frame of none", [0]],
    ["a part of one", [0.5]],
  ])("sends a base of %s", async (_, counts) => {
    const ended = await migrateTo(
      accepting(async (destination) => {
        for (const count of counts) await destination.sendBytes(FrameType.base, new Uint8Array(count * 16));
      }, true),
    );
    expect(ended).toBe("protocol");
  });

  it("sends a base of too few fingerprints, and is silent", async () => {
    const few = (destination: Channel): Promise<void> =>
      destination.sendBytes(FrameType.base, new Uint8Array((pages - 1) * 16));
    expect(await migrateTo(accepting(few, true))).toBe("timeout");
  });

  it("sends a base that is a lie: the contents differ, for an honest destination would say so", async () => {
    const lie = accepting(async (destination) => {
      await destination.sendBytes(FrameType.base, new Uint8Array(pages * 16));
      await destination.send("fail", { code: "content-differs", message: "They differ." });
    }, true);
    expect(await migrateTo(lie)).toBe("content-differs");
  });

  it.each([
    ["ready", {}],
    ["running", {}],
    ["roundDone", { round: 1 }],
    ["outcome", { outcome: "running" }],
    ["accept", { hasBase: false, isLazy: false }],
  ] as const)("answers %s where the end of a round was to be confirmed", async (name, body) => {
    expect(await migrateTo(accepting((destination) => destination.send(name, body)))).toBe("protocol");
  });

  it("runs the machine before it was given away, and says so: the source hands nothing over", async () => {
    const eager = accepting(async (destination) => {
      await destination.send("running", {});
    });
    expect(await migrateTo(eager, { strategy: "stop-and-copy" })).toBe("protocol");
  });

  it("confirms more than there is", async () => {
    const most = new Uint8Array(8).fill(0xff);
    const lavish = accepting(async (destination) => {
      for (let times = 0; times < 10; times++) await destination.sendBytes(FrameType.received, most);
      await destination.send("fail", { code: "refused", message: "Enough." });
    });
    expect(await migrateTo(lavish)).toBe("refused");
  });

  it("is alive without end: the source goes on, can be cancelled, and keeps nothing of it", async () => {
    const cancellation = new AbortController();
    const endless = accepting(async (destination) => {
      for (let times = 0; times < 20_000; times++) {
        await destination.sendBytes(FrameType.alive, new Uint8Array(0));
        if (times % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      cancellation.abort();
    });
    expect(await migrateTo(endless, { signal: cancellation.signal })).toBe("cancelled");
  });

  /** Lets a machine come that is to run before its memory is there. */
  async function untilSwitchOver(destination: Channel): Promise<void> {
    await expectFrame(destination, TIMEOUT_MS, FrameType.announce);
    await destination.send("accept", { hasBase: false, isLazy: true });
    const { probe, batch, switchOver } = FrameType;
    for (;;) {
      const { type } = await expectFrame(destination, TIMEOUT_MS, probe, batch, switchOver);
      if (type === switchOver) return;
      if (type === probe) await destination.send("probed", {});
    }
  }

  it.each([
    ["before the machine is to run there", encodePageRuns([{ firstPage: 0, pageCount: 1 }])],
    ["that are none", [new Uint8Array(0), new Uint8Array(7)]],
  ])("wants pages %s", async (_, bodies) => {
    for (const body of bodies) {
      const greedy = accepting((destination) => destination.sendBytes(FrameType.wanted, body));
      expect(await migrateTo(greedy)).toBe("protocol");
    }
  });

  it("wants pages that the machine has not, when it is to run there", async () => {
    const greedy: Defence = async (destination) => {
      await untilSwitchOver(destination);
      const [body] = encodePageRuns([{ firstPage: pages, pageCount: 1 }]);
      await destination.sendBytes(FrameType.wanted, body as Uint8Array);
    };
    expect(await migrateTo(greedy, { strategy: "postcopy" })).toBe("protocol");
  });

  it("wants the same pages without end: each is sent once, and nothing piles up", async () => {
    const [body] = encodePageRuns([{ firstPage: 0, pageCount: pages }]) as [Uint8Array];
    let batches = 0;
    const greedy: Defence = async (destination) => {
      await untilSwitchOver(destination);
      for (let times = 0; times < 5000; times++) {
        await destination.sendBytes(FrameType.wanted, body);
        if (times % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await destination.send("fail", { code: "refused", message: "Enough." });
      for (let frame = await destination.receive(TIMEOUT_MS); frame !== undefined; ) {
        if (frame.type === FrameType.batch) batches += 1;
        frame = await destination.receive(TIMEOUT_MS);
      }
    };
    expect(await migrateTo(greedy, { strategy: "postcopy" })).toBe("refused");
    expect(batches).toBeLessThanOrEqual(pages / 64);
  });

  it("reads nothing: the source runs on", async () => {
    const deaf: Defence = async (destination) => {
      await expectFrame(destination, TIMEOUT_MS, FrameType.announce);
      await destination.send("accept", { hasBase: false, isLazy: false });
    };
    expect(await migrateTo(deaf)).toBe("timeout");
  });

  it("ends the connection in order, wherever it likes", async () => {
    expect(await migrateTo((destination) => destination.connection.close())).toBe("connection-lost");
    expect(await migrateTo(accepting((destination) => destination.connection.close()))).toBe("connection-lost");
  });
});
