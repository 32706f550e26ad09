import { describe, expect, it } from "vitest";
import { MemoryHost } from "../../src/guest/memory/host.js";
import { Destination } from "../../src/migration/destination.js";
import { messagePortConnection } from "../../src/transport/message-port.js";
import { failureOf, LIMIT, TestWorker, takeOut } from "./test-worker.js";

describe("a worker whose machine was given away, and that never heard what became of it", () => {
  it("keeps it, standing still, until somebody who knows says that it shall go on", async () => {
    const worker = new TestWorker();
    await worker.order("start", { kind: "memory", name: "memory", memoryBytes: 1 << 20, pagesPerSecond: 2000 });
    const { port1, port2 } = new MessageChannel();
    const connection = messagePortConnection(port2);
    const host = new MemoryHost();
    // By then the machine is committed: it does not start here, and the source cannot know.
    host.start = async () => {
      connection.abort(new Error("broken by the test"));
      throw new Error("broken by the test");
    };
    const destination = new Destination({ host: () => host, authorise: () => true, ...LIMIT });
    const refused = destination.receive(connection).catch((error) => error);
    const failure = await failureOf(worker.order("migrate", { port: port1, options: {} }));
    expect(failure).toMatchObject({ code: "in-doubt", report: { outcome: "in-doubt" } });
    await refused;
    expect(worker.states).toEqual(["arriving", "running", "leaving", "in-doubt"]);

    for (const order of ["pause", "saveSnapshot"] as const) {
      expect(await worker.failure(order, undefined)).toMatchObject({ code: "argument" });
    }
    const { port1: another } = new MessageChannel();
    expect(await worker.failure("receive", { port: another, ...LIMIT })).toMatchObject({
      code: "argument",
      message: "The worker's machine is in-doubt, and not empty or failed.",
    });
    another.close();

    await worker.order("resume", undefined);
    expect(worker.states.at(-1)).toBe("running");
    const machine = await takeOut(worker);
    machine.stop();
    expect(machine.wrongPages()).toEqual([]);
  });
});
