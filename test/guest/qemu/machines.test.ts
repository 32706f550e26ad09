import { readFileSync, writeFileSync } from "node:fs";
import { connectionPair, Destination, type MigrationFailure, migrate } from "pageferry";
import { QemuGuest, QemuHost } from "pageferry/qemu";
import { afterEach, describe, expect, it } from "vitest";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { FakeQemu, type FakeQemuOptions } from "./fake-qemu.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function fake(options: FakeQemuOptions = {}): Promise<FakeQemu> {
  const qemu = await FakeQemu.start(options);
  cleanups.push(() => qemu.stop());
  return qemu;
}

async function guestOf(qemu: FakeQemu): Promise<QemuGuest> {
  const guest = await QemuGuest.open({ qmp: qemu.qmpPath });
  cleanups.push(() => guest.close());
  return guest;
}

function fill(qemu: FakeQemu, seed: number): void {
  const random = new Random(seed);
  for (const path of Object.values(qemu.ram)) {
    const memory = readFileSync(path);
    for (let page = 0; page < memory.length; page += 3 * 4096) memory.set(random.memoryLike(4096), page);
    writeFileSync(path, memory);
  }
}

/** Moves the machine of one QEMU to another. */
async function move(from: FakeQemu, to: FakeQemu): Promise<Awaited<ReturnType<typeof migrate>["report"]>> {
  const destination = new Destination({
    host: () => new QemuHost({ qmp: to.qmpPath }),
    authorise: () => true,
    memoryLimitBytes: 1 << 20,
  });
  const [here, there] = connectionPair();
  const arriving = destination.receive(there).catch(() => {});
  try {
    return await migrate(await guestOf(from), here, { timeoutMs: 5000, inDoubtTimeoutMs: 1 }).report;
  } finally {
    await arriving;
  }
}

function expectMoved(from: FakeQemu, to: FakeQemu): void {
  for (const name of Object.keys(from.ram)) {
    expectSameBytes(readFileSync(to.ram[name] as string), readFileSync(from.ram[name] as string));
  }
}

describe("a machine of QEMU", () => {
  it("moves with all its backends, its devices and its name; the source's QEMU ends", async () => {
    const [from, to] = [await fake(), await fake({ isIncoming: true })];
    fill(from, 1);
    from.state = new Random(2).bytes(300_000);
    const report = await move(from, to);
    expect(report).toMatchObject({ outcome: "completed", machine: "db", ramBytes: 80 << 12, stateBytes: 300_000 });
    expectMoved(from, to);
    expectSameBytes(to.state, from.state);
    expect([from.hasQuit, to.isRunning]).toEqual([true, true]);
    expect(to.capabilities.get("x-ignore-shared"), "left so, it would migrate without its memory").toBe(false);
  });

  it("can be migrated by QEMU itself where it was not moved", async () => {
    const [from, to] = [await fake(), await fake({ isIncoming: true })];
    to.faults.set("qom-get", "refuse");
    const guest = await guestOf(from);
    expect(from.capabilities.get("x-ignore-shared")).toBe(true);
    await guest.close();
    await expect(move(from, to)).rejects.toBeInstanceOf(Error);
    await cleanups.pop()?.();
    for (const { capabilities } of [from, to]) {
      expect([...capabilities.values()]).toEqual([true, false, false]);
    }
  });

  it("keeps nothing of what an earlier attempt left in the destination's memory", async () => {
    const [from, to] = [await fake(), await fake({ isIncoming: true })];
    fill(from, 1);
    fill(to, 3);
    await move(from, to);
    expectMoved(from, to);
  });

  it("that stands still arrives and stands still", async () => {
    const [from, to] = [await fake({ status: "paused" }), await fake({ isIncoming: true })];
    await move(from, to);
    expect([from.hasQuit, to.status, to.executed.includes("cont")]).toEqual([true, "paused", false]);
  });

  for (const command of ["stop", "migrate"]) {
    it(`runs on where QEMU refuses to ${command}`, async () => {
      const [from, to] = [await fake(), await fake({ isIncoming: true })];
      from.faults.set(command, "refuse");
      await expect(move(from, to)).rejects.toMatchObject({ code: "guest-failed" });
      expect([from.isRunning, from.hasQuit, to.isRunning]).toEqual([true, false, false]);
    });
  }

  it("runs on where saving its devices fails, and QEMU's reason is told", async () => {
    const [from, to] = [await fake(), await fake({ isIncoming: true })];
    from.ends = "failed";
    await expect(move(from, to)).rejects.toThrow("the disk is full");
    expect([from.isRunning, to.isRunning]).toEqual([true, false]);
  });

  it("runs on where its devices have more bytes than are allowed", async () => {
    const from = await fake();
    from.state = new Uint8Array(70_000);
    const guest = await QemuGuest.open({ qmp: from.qmpPath, stateMaxBytes: 65_536 });
    cleanups.push(() => guest.close());
    await guest.pause();
    await expect(guest.saveState()).rejects.toMatchObject({ code: "guest-failed" });
    await guest.resume();
    expect(from.isRunning).toBe(true);
  });

  for (const command of ["query-memdev", "migrate-set-capabilities", "migrate-incoming"]) {
    it(`runs on where the destination's QEMU refuses to ${command}`, async () => {
      const [from, to] = [await fake(), await fake({ isIncoming: true })];
      to.faults.set(command, "refuse");
      await expect(move(from, to)).rejects.toBeInstanceOf(Error);
      expect([from.isRunning, from.hasQuit, to.isRunning]).toEqual([true, false, false]);
    });
  }

  it("runs on where the destination's QEMU does not take its devices, and that QEMU is ended", async () => {
    const [from, to] = [await fake(), await fake({ isIncoming: true })];
    to.ends = "failed";
    const failure = (await move(from, to).catch((error) => error)) as MigrationFailure;
    expect(failure.message).toContain("does not take the machine's devices");
    expect([from.isRunning, to.isRunning, to.hasQuit]).toEqual([true, false, true]);
  });

  it("runs on where the destination's QEMU is lost while it is started, and is found again and ended", async () => {
    const [from, to] = [await fake(), await fake({ isIncoming: true })];
    to.faults.set("cont", "hang-up");
    await expect(move(from, to)).rejects.toMatchObject({ code: "peer-failed" });
    expect([from.isRunning, to.isRunning, to.hasQuit]).toEqual([true, false, true]);
  });

  it("is in doubt where a destination's QEMU that was lost while it was started cannot be ended", async () => {
    const [from, to] = [await fake(), await fake({ isIncoming: true })];
    to.faults.set("cont", "hang-up").set("quit", "refuse");
    await expect(move(from, to)).rejects.toMatchObject({ code: "in-doubt" });
    expect([from.isRunning, from.hasQuit]).toEqual([false, false]);
  });

  it("is refused by a QEMU that was started otherwise", async () => {
    const from = await fake();
    const others: [FakeQemuOptions, string][] = [
      [{ isIncoming: true, machineType: "pc-i440fx-7.2-machine" }, "pc-q35-7.2-machine"],
      [{ isIncoming: true, memory: { mem0: 64 << 12 } }, "mem1"],
      [{ isIncoming: true, memory: { mem0: 64 << 12, mem1: 17 << 12 } }, "mem1"],
      [{ isIncoming: true, memory: { mem0: 64 << 12, mem1: 16 << 12, mem2: 4096 } }, "more memory backends"],
      [{ isIncoming: false }, "-incoming defer"],
    ];
    for (const [options, words] of others) {
      const to = await fake(options);
      await expect(move(from, to)).rejects.toThrow(words);
      expect([from.isRunning, to.hasQuit]).toEqual([true, false]);
    }
  });

  it("that is not QEMU's is refused", async () => {
    const to = await fake({ isIncoming: true });
    const host = new QemuHost({ qmp: to.qmpPath });
    const machine = { name: "x", kind: "v86", pageBytes: 4096, regions: [], configuration: {} };
    await expect(host.prepare(machine)).rejects.toMatchObject({ code: "machine-unfit" });
    await host.discard();
    expect(to.hasQuit).toBe(false);
  });
});

describe("what is missing is said", () => {
  const backends = [{ id: "mem0", size: 64 << 12, share: true }];
  const cases: [string, string, unknown][] = [
    ["share=on", "query-memdev", [{ id: "mem0", size: 64 << 12, share: false }]],
    ["has no id", "query-memdev", [{ size: 64 << 12, share: true }]],
    ["memory-backend-ram", "qom-list", [{ name: "mem0", type: "child<memory-backend-ram>" }]],
    ["only 262144 are in shared files", "query-memory-size-summary", { "base-memory": 1 << 20, "plugged-memory": 0 }],
    ["postmigrate", "query-status", { status: "postmigrate", running: false }],
    ["inmigrate", "query-status", { status: "inmigrate", running: false }],
  ];
  it.each(cases)("%s", async (words, command, answer) => {
    const qemu = await fake({ memory: { mem0: 64 << 12 } });
    qemu.answers.set("query-memdev", backends).set(command, answer);
    await expect(QemuGuest.open({ qmp: qemu.qmpPath })).rejects.toMatchObject({
      code: "machine-unfit",
      message: expect.stringContaining(words),
    });
  });

  it("a QEMU that cannot leave its memory to others", async () => {
    const qemu = await fake();
    qemu.faults.set("migrate-set-capabilities", "refuse");
    await expect(QemuGuest.open({ qmp: qemu.qmpPath })).rejects.toThrow("version 4.1");
  });

  it("a RAM file that is gone, a folder, or too short", async () => {
    const qemu = await fake({ memory: { mem0: 64 << 12 } });
    const path = qemu.ram["mem0"] as string;
    writeFileSync(path, new Uint8Array(63 << 12));
    await expect(QemuGuest.open({ qmp: qemu.qmpPath })).rejects.toThrow("shorter");
    qemu.ram["mem0"] = qemu.folder;
    await expect(QemuGuest.open({ qmp: qemu.qmpPath })).rejects.toThrow("not a file");
    qemu.ram["mem0"] = `${qemu.folder}/nothing`;
    await expect(QemuGuest.open({ qmp: qemu.qmpPath })).rejects.toThrow("ENOENT");
  });
});
