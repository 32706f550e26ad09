import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { FakeQemu } from "../../guest/qemu/fake-qemu.js";
import { expectSameBytes } from "../../support/bytes.js";
import { RunningCommand } from "../../support/command.js";
import { Random } from "../../support/random.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function fake(isIncoming: boolean): Promise<FakeQemu> {
  const qemu = await FakeQemu.start({ isIncoming });
  cleanups.push(() => qemu.stop());
  return qemu;
}

function run(...parameters: string[]): RunningCommand {
  const command = new RunningCommand(["qemu", ...parameters]);
  cleanups.push(() => command.process.kill("SIGKILL"));
  return command;
}

async function receive(to: FakeQemu, ...more: string[]): Promise<{ command: RunningCommand; port: string }> {
  const command = run("receive", "--qmp", to.qmpPath, "--listen", "127.0.0.1:0", "--reconnect-for", "1", ...more);
  const [, port] = await command.waitFor(/Waiting for machines at [^ ]+:(\d+)/);
  return { command, port: port as string };
}

function migrate(from: FakeQemu, port: string, ...more: string[]): RunningCommand {
  return run("migrate", "--qmp", from.qmpPath, "--to", `127.0.0.1:${port}`, "--reconnect-for", "1", ...more);
}

function fill(qemu: FakeQemu): void {
  const path = qemu.ram["mem0"] as string;
  writeFileSync(path, new Random(7).memoryLike(readFileSync(path).length));
}

/** Resolves when the fake is asked to do this, before it is done. */
function asked(qemu: FakeQemu, command: string): Promise<void> {
  return new Promise((resolve) => {
    qemu.onExecute = (executed) => {
      if (executed === command) resolve();
    };
  });
}

/** Has the process killed as soon as the fake is asked for something. */
function killAt(qemu: FakeQemu, command: string, victim: () => RunningCommand): void {
  qemu.onExecute = (executed) => {
    if (executed === command) victim().process.kill("SIGKILL");
  };
}

describe("pageferry qemu migrate and receive", () => {
  it("move a machine, and both tell of it in JSON", async () => {
    const [from, to] = [await fake(false), await fake(true)];
    fill(from);
    const { command: receiving, port } = await receive(to, "--json");
    const migrated = await migrate(from, port, "--json", "--name", "database").done;
    const received = await receiving.done;
    expect([migrated.status, received.status], migrated.stderr + received.stderr).toEqual([0, 0]);
    expect(migrated.json()).toMatchObject({ outcome: "completed", machine: "database" });
    expect(received.json()).toMatchObject({ machine: { name: "database", kind: "qemu" } });
    expectSameBytes(readFileSync(to.ram["mem0"] as string), readFileSync(from.ram["mem0"] as string));
    expect([from.hasQuit, to.isRunning]).toEqual([true, true]);
  });

  it("want to know where the machine shall run, once", async () => {
    expect((await run("receive").done).status).toBe(2);
    expect((await run("receive", "--qmp", "x", "--", "qemu").done).status).toBe(2);
  });

  it("refuse whom --peer does not name, and then the machine runs on", async () => {
    const [from, to] = [await fake(false), await fake(true)];
    const { port } = await receive(to, "--peer", "alpha");
    const { status, stderr } = await migrate(from, port).done;
    expect([status, from.isRunning]).toEqual([3, true]);
    expect(stderr).toContain("may not bring a machine here");
  });

  it("say what QEMU complains of where it does not come up", async () => {
    const from = await fake(false);
    const command = run(
      "receive",
      "--once",
      "--listen",
      "127.0.0.1:0",
      "--",
      "sh",
      "-c",
      "echo no such machine >&2; exit 1",
    );
    const [, port] = await command.waitFor(/Waiting for machines at [^ ]+:(\d+)/);
    const { status, stderr } = await migrate(from, port as string).done;
    expect([status, from.isRunning]).toEqual([1, true]);
    expect(stderr).toContain("no such machine");
    expect((await command.done).status).toBe(1);
  });

  it("let the machine run on where they are interrupted", async () => {
    const [from, to] = [await fake(false), await fake(true)];
    const { port } = await receive(to);
    const command = migrate(from, port);
    await asked(from, "stop");
    command.process.kill("SIGINT");
    const { status } = await command.done;
    // It may have been handed over before it heard of it.
    expect([from.isRunning, to.isRunning]).toEqual(status === 0 ? [false, true] : [true, false]);
  });
});

describe("a process that is killed", () => {
  for (const command of ["query-memdev", "stop", "migrate"]) {
    it(`at the source when it says ${command}: the machine runs on there`, async () => {
      const [from, to] = [await fake(false), await fake(true)];
      const { port } = await receive(to);
      let migrating: RunningCommand | undefined;
      killAt(from, command, () => migrating as RunningCommand);
      migrating = migrate(from, port);
      const isLetOn = command === "query-memdev" ? undefined : askedAgain(from, "cont");
      await migrating.done;
      await isLetOn;
      expect([from.isRunning, from.hasQuit, to.isRunning]).toEqual([true, false, false]);
    });
  }

  for (const command of ["query-memdev", "migrate-incoming", "query-status"]) {
    it(`at the destination when it says ${command}: the machine runs on at the source`, async () => {
      const [from, to] = [await fake(false), await fake(true)];
      const { command: receiving, port } = await receive(to);
      killAt(to, command, () => receiving);
      const { status } = await migrate(from, port).done;
      expect([status, from.isRunning, from.hasQuit, to.isRunning]).toEqual([1, true, false, false]);
    });
  }

  it("at the destination while the machine is started there: in doubt, and nothing runs twice", async () => {
    const [from, to] = [await fake(false), await fake(true)];
    const { command: receiving, port } = await receive(to);
    killAt(to, "cont", () => receiving);
    const { status, stderr } = await migrate(from, port).done;
    expect(status, stderr).toBe(4);
    expect([from.isRunning, from.hasQuit, to.isRunning]).toEqual([false, false, true]);
  });
});

function askedAgain(qemu: FakeQemu, command: string): Promise<void> {
  const before = qemu.onExecute;
  return new Promise((resolve) => {
    qemu.onExecute = (executed) => {
      before(executed);
      if (executed !== command) return;
      // It is done when the command has been taken.
      setImmediate(resolve);
    };
  });
}
