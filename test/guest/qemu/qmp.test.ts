import { once } from "node:events";
import { createServer } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { LineCutter } from "../../../src/guest/qemu/lines.js";
import type { QmpEvent } from "../../../src/guest/qemu/message.js";
import { QmpClient } from "../../../src/guest/qemu/qmp.js";
import { type Asked, FakeQmp, GREETING } from "./fake-qmp.js";

const SOON = { timeoutMs: 50 };
const coded = (code: string, words = ""): unknown =>
  expect.objectContaining({ name: "QmpError", code, message: expect.stringContaining(words) });

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function fake(greeting?: string | Uint8Array): Promise<FakeQmp> {
  const server = await FakeQmp.start(greeting);
  cleanups.push(() => server.stop());
  return server;
}

async function connected(): Promise<{ server: FakeQmp; client: QmpClient }> {
  const server = await fake();
  const client = await QmpClient.connect(server.path);
  cleanups.push(() => client.close());
  return { server, client };
}

/** Expects that all of these reject so. */
async function expectRejected(waits: readonly Promise<unknown>[], reason: unknown): Promise<void> {
  expect(await Promise.allSettled(waits)).toEqual(waits.map(() => ({ status: "rejected", reason })));
}

/** Resolves with the next `count` commands. */
function commands(server: FakeQmp, count: number): Promise<Asked[]> {
  const asked: Asked[] = [];
  return new Promise((resolve) => {
    server.onCommand = (command) => {
      if (asked.push(command) === count) resolve(asked);
    };
  });
}

describe("a QMP client", () => {
  it("takes up the conversation on a unix socket and over TCP", async () => {
    for (const way of ["unix", "tcp"]) {
      const server = await fake();
      const address = way === "unix" ? server.path : { host: "127.0.0.1", port: server.port };
      const client = await QmpClient.connect(address);
      expect(client.version).toBe("7.2.22");
      expect(server.asked).toEqual([{ execute: "qmp_capabilities", id: 1 }]);
      await client.close();
    }
  });

  it("asks with arguments and gives the answer", async () => {
    const { server, client } = await connected();
    server.onCommand = ({ id }) => server.answer(id, { status: "running" });
    expect(await client.execute("query-x", { a: [1, "ü"], b: true })).toEqual({ status: "running" });
    expect(server.asked[1]).toEqual({ execute: "query-x", arguments: { a: [1, "ü"], b: true }, id: 2 });
  });

  it("gives each its answer where they come in another order", async () => {
    const { server, client } = await connected();
    const asked = commands(server, 3);
    const answers = ["one", "two", "three"].map((command) => client.execute(command));
    for (const { id, execute } of (await asked).reverse()) server.answer(id, `to ${execute}`);
    expect(await Promise.all(answers)).toEqual(["to one", "to two", "to three"]);
  });

  it("rejects with QEMU's words where a command fails, and goes on", async () => {
    const { server, client } = await connected();
    server.onCommand = ({ id }) =>
      server.say(`{"error": {"class": "CommandNotFound", "desc": "no\\u001b[31m such"}, "id": ${id}}\n`);
    const failure = client.execute("nothing");
    await expect(failure).rejects.toEqual(coded("command-failed", "no [31m such"));
    await expect(failure).rejects.toHaveProperty("qemuClass", "CommandNotFound");
    server.onCommand = ({ id }) => server.answer(id, 5);
    expect(await client.execute("something")).toBe(5);
  });

  it("passes over an answer that comes after its time, and goes on", async () => {
    const { server, client } = await connected();
    await expect(client.execute("slow", undefined, SOON)).rejects.toEqual(coded("timeout", "answer to slow"));
    server.onCommand = ({ id }) => {
      server.answer(id - 1, "late");
      server.answer(id, "in time");
    };
    expect(await client.execute("quick")).toBe("in time");
  });

  it("reads answers of some megabytes that come in pieces", async () => {
    const { server, client } = await connected();
    const long = "ä".repeat(1_500_000);
    server.onCommand = ({ id }) => server.answer(id, long);
    expect(await client.execute<string>("query-qmp-schema")).toHaveLength(long.length);
  });
});

describe("events of QMP", () => {
  it("are not missed between a command and the wait for them", async () => {
    const { server, client } = await connected();
    server.onCommand = ({ id }) => {
      server.event("MIGRATION", { status: "setup" });
      server.event("MIGRATION", { status: "completed" });
      server.answer(id);
    };
    const completed = client.nextEvent("MIGRATION", ({ data }) => data["status"] === "completed");
    await client.execute("migrate");
    expect(await completed).toEqual({
      event: "MIGRATION",
      data: { status: "completed" },
      timeMs: 1700000000250,
    });
  });

  it("are told to everybody who waits, each from its beginning on", async () => {
    const { server, client } = await connected();
    const heard: QmpEvent[] = [];
    const deafen = client.onEvent((event) => heard.push(event));
    const two = [client.nextEvent("STOP"), client.nextEvent("STOP")];
    server.event("RESUME");
    server.event("STOP");
    expect(await Promise.all(two)).toHaveLength(2);
    deafen();
    const next = client.nextEvent("STOP");
    server.event("STOP");
    await next;
    expect(heard.map(({ event, data }) => [event, data])).toEqual([
      ["RESUME", {}],
      ["STOP", {}],
    ]);
  });

  it("are waited for in vain for so long only", async () => {
    const { server, client } = await connected();
    const never = client.nextEvent("STOP", () => false, SOON);
    server.event("STOP");
    await expect(never).rejects.toEqual(coded("timeout", "event STOP"));
  });

  it("that a condition cannot read reject the wait and nothing else", async () => {
    const { server, client } = await connected();
    const broken = client.nextEvent("STOP", () => {
      throw new Error("cannot read");
    });
    const other = client.nextEvent("STOP");
    server.event("STOP");
    await expect(broken).rejects.toThrow("cannot read");
    await other;
  });
});

describe("a QMP connection", () => {
  it("that is closed rejects what waits and all that comes later, and leaves no timer", async () => {
    const { server, client } = await connected();
    const cleared = vi.spyOn(globalThis, "clearTimeout");
    const set = vi.spyOn(globalThis, "setTimeout");
    cleanups.push(() => vi.restoreAllMocks());
    const waits = [client.execute("slow"), client.nextEvent("STOP")];
    // Nobody waits for this one: it must not be an unhandled rejection.
    void client.nextEvent("RESUME");
    await vi.waitFor(() => expect(server.asked).toHaveLength(2));
    const rejected = expectRejected(waits, coded("closed", "This side"));
    await client.close();
    await rejected;
    await expect(client.execute("more")).rejects.toEqual(coded("closed"));
    await expect(client.nextEvent("STOP")).rejects.toEqual(coded("closed"));
    await client.close();
    const timers = set.mock.results.map(({ value }) => value);
    const gone = cleared.mock.calls.map(([timer]) => timer);
    expect(timers.length).toBeGreaterThanOrEqual(3);
    for (const timer of timers) expect(gone).toContain(timer);
  });

  it("that QEMU closes rejects what waits", async () => {
    const { server, client } = await connected();
    const waits = [client.execute("quit"), client.nextEvent("SHUTDOWN")];
    server.onCommand = () => server.hangUp();
    await expectRejected(waits, coded("closed"));
  });

  it("needs a server that is there, and an address that can be one", async () => {
    const server = await fake();
    const gone = `${server.path}-gone`;
    await expect(QmpClient.connect(gone)).rejects.toEqual(coded("connect-failed", "ENOENT"));
    await expect(QmpClient.connect({ host: "", port: 1 })).rejects.toEqual(coded("argument"));
    await expect(QmpClient.connect({ host: "localhost", port: 0 })).rejects.toEqual(coded("argument"));
    await expect(QmpClient.connect("x".repeat(108))).rejects.toEqual(coded("argument", "107"));
    await expect(QmpClient.connect("")).rejects.toEqual(coded("argument"));
    for (const timeoutMs of [0, Number.NaN, 2 ** 31]) {
      await expect(QmpClient.connect(server.path, { timeoutMs })).rejects.toEqual(coded("argument", "timeoutMs"));
    }
  });

  it("is given up where nobody greets", async () => {
    const server = await fake("");
    await expect(QmpClient.connect(server.path, SOON)).rejects.toEqual(coded("timeout", "another client"));
  });

  it("is given up where the server ends instead of greeting", async () => {
    const server = createServer((socket) => socket.destroy());
    await once(server.listen(0, "127.0.0.1"), "listening");
    cleanups.push(() => server.close());
    const { port } = server.address() as { port: number };
    await expect(QmpClient.connect({ host: "127.0.0.1", port })).rejects.toEqual(coded("closed"));
  });

  it.each([
    ["is no JSON", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["is no object", "[]\n"],
    ["is null", "null\n"],
    ["is an empty line", "\n"],
    ["is no UTF-8", "\xff\n"],
    ["has another shape", '{"QMP": {"version": {"qemu": {"major": "7"}}}}\n'],
    ["is an event", '{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 1}}\n'],
    ["is an answer", '{"return": {}, "id": 1}\n'],
    ["has no end", "x".repeat(5 << 20)],
    ["is deep", `${"[".repeat(2 << 20)}\n`],
    ["comes twice", `${GREETING}\n${GREETING}\n`],
  ])("ends where the greeting %s", async (_, greeting) => {
    const server = await fake(Buffer.from(greeting, "latin1"));
    const connecting = QmpClient.connect(server.path);
    await expect(connecting).rejects.toEqual(coded("malformed"));
  });

  it.each([
    ["is no JSON", "{]\n"],
    ["has no id", '{"return": {}}\n'],
    ["answers what was not asked", '{"return": {}, "id": 77}\n'],
    ["has an id of no use", '{"return": {}, "id": "2"}\n'],
    ["has an error without class", '{"error": {"desc": "x"}, "id": 2}\n'],
    ["has an event without time", '{"event": "STOP"}\n'],
    ["has an event of odd data", '{"event": "STOP", "data": 5, "timestamp": {"seconds": 1, "microseconds": 1}}\n'],
    ["has an event of an odd name", '{"event": "\\u001b[2J", "timestamp": {"seconds": 1, "microseconds": 1}}\n'],
    ["is none of all", '{"hello": 1}\n'],
    ["has no end", "x".repeat(5 << 20)],
    ["is a second greeting", `${GREETING}\n`],
  ])("ends where what QEMU says %s", async (_, said) => {
    const { server, client } = await connected();
    server.onCommand = () => server.say(said);
    const waits = [client.nextEvent("STOP"), client.execute("a"), client.execute("b")];
    await expectRejected(waits, coded("malformed"));
  });
});

describe("lines", () => {
  it("are the same however the bytes are cut", () => {
    const text = fc.array(fc.constantFrom("a", "\n", "bc"), { maxLength: 60 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, fc.array(fc.nat(60)), (whole, cuts) => {
        const cutter = new LineCutter(1000);
        const lines: string[] = [];
        const ends = [...cuts.map((cut) => Math.min(cut, whole.length)), whole.length].sort((a, b) => a - b);
        let start = 0;
        for (const end of ends) {
          for (const line of cutter.push(Buffer.from(whole.slice(start, end))))
            lines.push(Buffer.from(line).toString());
          start = end;
        }
        expect(lines).toEqual(whole.split("\n").slice(0, -1));
      }),
    );
  });

  it("are held up to their limit only", () => {
    const cutter = new LineCutter(4);
    expect([...cutter.push(Buffer.from("1234\n12"))]).toHaveLength(1);
    expect(() => [...cutter.push(Buffer.from("345"))]).toThrow(RangeError);
  });
});
