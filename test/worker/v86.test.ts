import { afterEach, describe, expect, it } from "vitest";
import { FAKE_V86, FakeV86, fakeMachine } from "./fake-v86.js";
import { failureOf, move, TestWorker } from "./test-worker.js";

const PRINTED = "booted\n";

afterEach(async () => {
  for (const emulator of FakeV86.made.splice(0)) await emulator.destroy();
});

async function opened(version: string = FAKE_V86.version): Promise<TestWorker> {
  const worker = new TestWorker();
  await worker.order("open", { v86: { ...FAKE_V86, version } });
  return worker;
}

async function started(): Promise<TestWorker> {
  const worker = await opened();
  await worker.order("start", await fakeMachine(PRINTED));
  return worker;
}

/** What the console of the worker's machine shows. */
function screenOf(worker: TestWorker): string {
  return worker
    .newsOf("console")
    .reduce(
      (text, { bytes, isPast }) => (isPast ? "" : text) + String.fromCharCode(...bytes),
      "nothing was there before",
    );
}

/** The console shows what was printed before the start, and counts from 1 on without a gap. */
function expectCounted(worker: TestWorker): void {
  const [first, ...counts] = screenOf(worker).trimEnd().split("\n");
  expect(first).toBe(PRINTED.trimEnd());
  expect(counts.length).toBeGreaterThan(0);
  expect(counts).toEqual(counts.map((_, index) => `count ${index + 1}`));
}

describe("a machine of v86 in a worker", () => {
  it("counts on where it arrives, and its console goes with it", async () => {
    const left = await started();
    const right = await opened();
    await left.next("console");
    const { leaving, arriving } = move(left, right);
    expect(await leaving).toMatchObject({ outcome: "completed", verification: { verified: true } });
    await arriving;
    expectCounted(left);
    const before = screenOf(left);
    await right.next("console", ({ isPast }) => !isPast);
    expectCounted(right);
    expect(screenOf(right).startsWith(before)).toBe(true);
    expect(FakeV86.made.map(({ destroyed }) => destroyed)).toEqual([true, false]);
  });

  it("is typed at on its console, and answers line by line on its other port", async () => {
    const worker = await started();
    await worker.order("type", { port: 0, text: "héllo" });
    expect(screenOf(worker)).toContain("hÃ©llo");
    for (const text of ["PF upt", "ime 1.00\nPF work idle\n", "x".repeat(5000), "\n", "not ended"]) {
      await worker.order("type", { port: 1, text });
    }
    expect(worker.newsOf("answer").map(({ line }) => line)).toEqual([
      "PF uptime 1.00",
      "PF work idle",
      "x".repeat(4096),
    ]);
  });

  it("stands still by order until it is to go on", async () => {
    const worker = await started();
    const [emulator] = FakeV86.made as [FakeV86];
    await worker.order("pause", undefined);
    expect(emulator.is_running()).toBe(false);
    await worker.order("resume", undefined);
    await worker.next("console");
    expectCounted(worker);
    expect(worker.states).toEqual(["arriving", "running", "paused", "running"]);
  });

  it("tells how many instructions it does, also where the count begins anew", async () => {
    const worker = await started();
    const [emulator] = FakeV86.made as [FakeV86];
    emulator.instructions = 0x100;
    const { instructionsPerSecond } = await worker.next("pace");
    expect(instructionsPerSecond).toBeGreaterThan(0);
    expect(instructionsPerSecond).toBeLessThan(0x10000);
  });

  it("fails with a reason where it crashes, and makes place for another", async () => {
    const worker = await started();
    const [emulator] = FakeV86.made as [FakeV86];
    const failed = worker.next("state");
    emulator.crash = new Error("unreachable");
    expect(await failed).toEqual({
      news: "state",
      state: "failed",
      reason: "The emulated machine failed and was stopped.",
    });
    expect(await worker.failure("migrate", { port: new MessageChannel().port1, options: {} })).toMatchObject({
      message: "The worker's machine is failed, and not running.",
    });
    await worker.order("start", await fakeMachine(PRINTED));
    await worker.next("console");
    expectCounted(worker);
    expect(worker.states).toEqual(["arriving", "running", "failed", "arriving", "running"]);
    expect(FakeV86.made.map(({ destroyed }) => destroyed)).toEqual([true, false]);
  });

  it("fails where its emulator throws from its inside, once and only then", async () => {
    const worker = await opened();
    worker.server.takeUncaught(new Error("nothing is there yet"));
    await worker.order("start", await fakeMachine(PRINTED));
    const [emulator] = FakeV86.made as [FakeV86];
    const failed = worker.next("state");
    emulator.program = () => {
      worker.server.takeUncaught(new Error("out of bounds"));
      worker.server.takeUncaught(new Error("and again"));
      throw new Error("and in its main loop");
    };
    expect(await failed).toEqual({ news: "state", state: "failed", reason: "out of bounds" });
    await worker.order("start", await fakeMachine(PRINTED));
    expect(worker.states).toEqual(["arriving", "running", "failed", "arriving", "running"]);
  });

  it("that crashes while it moves stays failed, and the other worker empty", async () => {
    const left = await started();
    const right = await opened();
    const { leaving, arriving } = move(left, right, { bytesPerSecond: 1_000_000, compression: "none" });
    await left.next("pages");
    (FakeV86.made[0] as FakeV86).crash = new Error("unreachable");
    expect(await failureOf(leaving)).toMatchObject({ code: "guest-failed", report: { outcome: "failed" } });
    await failureOf(arriving);
    expect(left.states).toEqual(["arriving", "running", "leaving", "failed"]);
    expect(right.states).toEqual(["arriving", "empty"]);
  });

  it("of another version is not taken, and runs on", async () => {
    const left = await started();
    const right = await opened("1.2.4");
    const { leaving, arriving } = move(left, right);
    const message = expect.stringContaining('version "1.2.3" of v86, and here is 1.2.4');
    expect(await failureOf(leaving)).toMatchObject({ code: "peer-failed", message });
    expect(await failureOf(arriving)).toMatchObject({ message });
    expect(left.states).toEqual(["arriving", "running", "leaving", "running"]);
    await left.next("console");
    expectCounted(left);
  });

  it("is not started from a damaged state", async () => {
    const worker = await opened();
    const source = await fakeMachine(PRINTED);
    expect(await worker.failure("start", { ...source, state: source.state.subarray(0, 500) })).toMatchObject({
      code: "state-malformed",
    });
    expect(worker.states).toEqual(["arriving", "empty"]);
    expect(worker.newsOf("console")).toEqual([]);
    expect(FakeV86.made.map(({ destroyed }) => destroyed)).toEqual([true]);
  });
});
