import { get } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import type { Host } from "../../src/guest/guest.js";
import { MemoryGuest } from "../../src/guest/memory/guest.js";
import { MemoryHost } from "../../src/guest/memory/host.js";
import type { MemoryMachine } from "../../src/guest/memory/machine.js";
import { SerialConsole } from "../../src/guest/v86/console.js";
import { COMMAND_PORT } from "../../src/guest/v86/demo-userland.js";
import { V86Guest } from "../../src/guest/v86/guest.js";
import { V86Host } from "../../src/guest/v86/host.js";
import { createEmulator, installedVersion } from "../../src/guest/v86/node.js";
import { Destination } from "../../src/migration/destination.js";
import { migrate } from "../../src/migration/migrate.js";
import type { Connection } from "../../src/transport/connection.js";
import { limitBandwidth } from "../../src/transport/limit.js";
import { resumableConnect } from "../../src/transport/resumable.js";
import { connectWebSocket } from "../../src/transport/websocket-server.js";
import { RunningCommand, runCommand } from "../support/command.js";
import { CuttingProxy } from "../support/cutting-proxy.js";
import { startedOrSkipped } from "../support/demo-guest.js";

const MEMORY = { name: "alpha", memoryBytes: 4 << 20, workingSetPages: 64 };
const ORIGIN = "http://localhost:8086";
/** A first run fetches the images and boots. */
const LINUX_MS = 400_000;

describe("pageferry serve", () => {
  const running: { stop(): unknown }[] = [];
  afterEach(async () => {
    for (const each of running.splice(0)) await each.stop();
  });

  class Served {
    readonly command: RunningCommand;
    port = 0;
    token = "";

    constructor(command: RunningCommand) {
      this.command = command;
    }

    static async start(...parameters: string[]): Promise<Served> {
      const served = new Served(new RunningCommand(["serve", "--listen", "127.0.0.1:0", ...parameters]));
      running.push({ stop: () => served.command.process.kill("SIGKILL") && served.command.done });
      const [, port, token] = await served.command.waitFor(/ws:\/\/127\.0\.0\.1:(\d+)\/#([\w-]+)/);
      served.port = Number(port);
      served.token = token as string;
      return served;
    }

    connect(path: string, port: number = this.port, bytesPerSecond?: number): Promise<Connection> {
      const dial = async (): Promise<Connection> => {
        const inner = await connectWebSocket(`ws://127.0.0.1:${port}${path}`, { token: this.token });
        return bytesPerSecond === undefined ? inner : limitBandwidth(inner, { bytesPerSecond });
      };
      return resumableConnect(dial, { giveUpMs: 1000 });
    }

    async give(guest: MemoryGuest | V86Guest): Promise<void> {
      await migrate(guest, await this.connect("/arrivals"), { onStall: "switch" }).report;
    }

    async fetch(name: string): Promise<MemoryMachine> {
      const host = new MemoryHost();
      await destinationOf(() => host).receive(await this.connect(`/departures/${name}`));
      const machine = host.content as MemoryMachine;
      running.push({ stop: () => machine.stop() });
      return machine;
    }

    /** It still takes machines in and gives them away. */
    async works(name = "proof"): Promise<void> {
      await this.give(started({ ...MEMORY, name }));
      expect((await this.fetch(name)).isRunning).toBe(true);
    }

    /** The status with which an upgrade is refused. */
    refusal(path: string, protocols: string, origin?: string): Promise<number | undefined> {
      const headers = {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "sec-websocket-protocol": protocols,
        ...(origin !== undefined && { origin }),
      };
      return new Promise((resolve, reject) => {
        const request = get({ host: "127.0.0.1", port: this.port, path, headers }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        request.on("upgrade", (_, socket) => {
          socket.destroy();
          resolve(101);
        });
        request.on("error", reject);
      });
    }
  }

  function started(options: Partial<typeof MEMORY>): MemoryGuest {
    const guest = new MemoryGuest(options);
    running.push({ stop: () => guest.release() });
    return guest;
  }

  it("takes a memory machine in and gives it back, at work all the while", async () => {
    const served = await Served.start("--json");
    const guest = started(MEMORY);
    await served.give(guest);
    const before = guest.content.steps;
    const machine = await served.fetch("alpha");
    expect(machine.startedAt).toBeGreaterThanOrEqual(before);
    machine.stop();
    expect(machine.wrongPages()).toEqual([]);
    await served.command.waitFor(/"event":"departed"/);
    served.command.process.kill("SIGINT");
    const { status, stdout, stderr } = await served.command.done;
    expect([status, stderr]).toEqual([130, "pageferry: Stopped; no machine was here.\n"]);
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events).toMatchObject([
      { event: "listening" },
      { event: "arrived", machine: { name: "alpha", kind: "memory" } },
      { event: "departed", machine: "alpha", outcome: "completed", verification: { verified: true } },
    ]);
    expect(stdout.split(served.token)).toHaveLength(2);
  });

  it("says which machines are lost when it is stopped", async () => {
    const served = await Served.start("--machine", "one=memory", "--machine", "two=memory");
    served.command.process.kill("SIGINT");
    const { status, stderr } = await served.command.done;
    expect([status, stderr]).toEqual([130, "pageferry: Stopped; 2 machines that were here are lost: one, two.\n"]);
  });

  it("lets in neither other origins nor other tokens, and knows no other paths", async () => {
    const served = await Served.start();
    const right = `pageferry, pageferry.${served.token}`;
    expect(await served.refusal("/arrivals", right, ORIGIN)).toBe(101);
    expect(await served.refusal("/arrivals", right, "https://elsewhere.example")).toBe(403);
    expect(await served.refusal("/arrivals", "pageferry, pageferry.0123456789abcdef012345")).toBe(401);
    expect(await served.refusal("/arrivals", "pageferry")).toBe(401);
    for (const path of ["/", "/departures/", "/departures/%", "/arrivals/x"]) {
      expect(await served.refusal(path, right)).toBe(404);
    }
    await served.works();
  });

  it("refuses, and says why, machines that are too large, too many, of a taken name, unknown, or moving already", async () => {
    const served = await Served.start("--machine", "one=memory", "--max-machines", "2", "--memory-limit", "8MiB");
    const large = started({ ...MEMORY, memoryBytes: 16 << 20 });
    await expect(served.give(large)).rejects.toMatchObject({ code: "memory-limit" });
    expect(large.content.isRunning).toBe(true);
    await expect(served.give(started({ ...MEMORY, name: "one" }))).rejects.toThrow('called "one" is here already');
    await served.give(started(MEMORY));
    await expect(served.give(started({ ...MEMORY, name: "beta" }))).rejects.toThrow("no more can be taken");
    await expect(served.fetch("nobody")).rejects.toThrow('no machine of that name here; here run: "one", "alpha"');
    // Whoever fetches it prepares for a while.
    const host = new MemoryHost();
    let prepare = (): void => {};
    const preparing = new Promise<void>((resolve) => {
      prepare = resolve;
    });
    const connection = await served.connect("/departures/alpha");
    let slow: Promise<unknown> = Promise.resolve();
    await new Promise<void>((asked) => {
      const prepared = (): Promise<MemoryHost> => {
        asked();
        return preparing.then(() => host);
      };
      slow = destinationOf(prepared).receive(connection);
    });
    await expect(served.fetch("alpha")).rejects.toThrow("moving to somebody else already");
    prepare();
    await slow;
    running.push({ stop: () => host.content?.stop() });
    expect(host.content?.isRunning).toBe(true);
    await served.works();
  });

  it("lives on when garbage comes", async () => {
    const served = await Served.start("--machine", "one=memory");
    const junk = new Uint8Array(5000).fill(0xa5);
    for (const path of ["/arrivals", "/departures/one"]) {
      const plain = await connectWebSocket(`ws://127.0.0.1:${served.port}${path}`, { token: served.token });
      await plain.send(junk).catch(() => {});
      await expect(drain(plain)).rejects.toThrow();
      const within = await served.connect(path);
      await within.send(junk).catch(() => {});
      await drain(within).catch(() => {});
    }
    await served.works();
    expect((await served.fetch("one")).isRunning).toBe(true);
  });

  it("goes on where the link broke, on the way there and back", async () => {
    const served = await Served.start();
    const budgets = [500_000, Number.POSITIVE_INFINITY, 500_000, Number.POSITIVE_INFINITY];
    const proxy = await CuttingProxy.start(served.port, () => budgets.shift() as number);
    running.push({ stop: () => proxy.close() });
    const guest = started(MEMORY);
    await migrate(guest, await served.connect("/arrivals", proxy.port), { onStall: "switch", compression: "none" })
      .report;
    const host = new MemoryHost();
    await destinationOf(() => host).receive(await served.connect("/departures/alpha", proxy.port));
    host.content?.stop();
    expect(proxy.cuts).toBe(2);
    expect(host.content?.wrongPages()).toEqual([]);
  });

  it("a link that is cut for good leaves the machine where it was", async () => {
    const served = await Served.start("--reconnect-for", "1");
    const proxy = await CuttingProxy.start(served.port, () => 500_000);
    const guest = started(MEMORY);
    const there = migrate(guest, await served.connect("/arrivals", proxy.port), { compression: "none" });
    await expect.poll(() => proxy.cuts).toBeGreaterThan(0);
    proxy.close();
    await expect(there.report).rejects.toMatchObject({ code: "connection-lost" });
    expect(guest.content.isRunning).toBe(true);

    await expect
      .poll(
        () =>
          served.give(guest).then(
            () => "there",
            () => "refused",
          ),
        { timeout: 20_000 },
      )
      .toBe("there");
    const second = await CuttingProxy.start(served.port, () => 500_000);
    const host = new MemoryHost();
    const back = destinationOf(() => host).receive(await served.connect("/departures/alpha", second.port));
    back.catch(() => {});
    await expect.poll(() => second.cuts).toBeGreaterThan(0);
    second.close();
    await expect(back).rejects.toMatchObject({ code: "connection-lost" });
    const machine = await untilFetched(() => served.fetch("alpha"));
    machine.stop();
    expect(machine.wrongPages()).toEqual([]);
  });

  it("does not listen beyond this machine unless told so", async () => {
    const { status, stderr } = await runCommand("serve", "--listen", "0.0.0.0:0");
    expect([status, stderr]).toEqual([2, expect.stringContaining("--insecure")]);
  });

  it("Linux goes there and comes back (skipped where its images cannot be had)", {
    timeout: LINUX_MS,
  }, async (context) => {
    const demo = await startedOrSkipped(context);
    const sum = await manifestOf(demo.commands);
    demo.commands.writeLine("pf-counter &");
    const [, before] = await demo.commands.waitFor(/PF count (\d\d)\r?\n/, LINUX_MS);
    const served = await Served.start();
    await served.give(new V86Guest(demo.emulator, { name: "linux", shape: demo.shape }));
    const consoles: SerialConsole[] = [];
    const host = new V86Host({
      version: await installedVersion(),
      create: async (shape) => {
        const { emulator } = await createEmulator(shape);
        running.push({ stop: () => emulator.destroy() });
        consoles.push(new SerialConsole(emulator, COMMAND_PORT));
        return emulator;
      },
    });
    await destinationOf(() => host, 256 << 20).receive(await served.connect("/departures/linux"));
    const commands = consoles[0] as SerialConsole;
    const [, first] = await commands.waitFor(/PF count (\d+)\r?\n/, LINUX_MS);
    const [, second] = await commands.waitFor(/PF count (\d+)\r?\n/, LINUX_MS);
    expect(Number(first)).toBeGreaterThan(Number(before));
    expect(Number(second)).toBe(Number(first) + 1);
    expect(await manifestOf(commands)).toBe(sum);
  });
});

function destinationOf(host: () => Host | Promise<Host>, memoryLimitBytes = 64 << 20): Destination {
  return new Destination({ host, authorise: () => true, memoryLimitBytes });
}

async function drain(connection: Connection): Promise<void> {
  while ((await connection.receive()) !== undefined);
}

/** The server may not have noticed yet that whoever fetched the machine has gone. */
async function untilFetched(fetch: () => Promise<MemoryMachine>): Promise<MemoryMachine> {
  for (;;) {
    try {
      return await fetch();
    } catch (error) {
      if (!(error as Error).message.includes("already")) throw error;
    }
  }
}

async function manifestOf(commands: SerialConsole): Promise<string> {
  commands.writeLine("pf-manifest");
  const [, sum] = await commands.waitFor(/PF manifest (\w+)\r?\n/, LINUX_MS);
  return sum as string;
}
