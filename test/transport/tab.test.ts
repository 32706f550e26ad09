import { describe, expect, it } from "vitest";
import { openTabConnection } from "../../src/transport/tab.js";

const over = new Error("the test is over");
const coded = (code: string, words = ""): unknown =>
  expect.objectContaining({ name: "TransportError", code, message: expect.stringContaining(words) });

describe("two that open a connection by a name", () => {
  it("find each other, whoever comes first, and turn a third away", async () => {
    for (let round = 0; round < 20; round++) {
      const name = crypto.randomUUID();
      const [left, right] = await Promise.all([openTabConnection(name), openTabConnection(name)]);
      await expect(openTabConnection(name)).rejects.toEqual(coded("connect-failed", "Two other tabs"));
      await left.send(Uint8Array.of(round + 1));
      expect(await right.receive()).toEqual(Uint8Array.of(round + 1));
      left.abort(over);
      await expect(right.receive()).rejects.toEqual(coded("connection-lost"));
    }
  });

  it("are two also where three come at once", async () => {
    for (let round = 0; round < 20; round++) {
      const name = crypto.randomUUID();
      const outcomes = await Promise.allSettled([1, 2, 3].map(() => openTabConnection(name, { timeoutMs: 500 })));
      const connected = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
      for (const connection of connected) connection.abort(over);
      expect(connected.length).toBe(2);
    }
  });

  it("can take the name again when they are through", async () => {
    const name = crypto.randomUUID();
    for (let round = 0; round < 3; round++) {
      const [left, right] = await Promise.all([openTabConnection(name), openTabConnection(name)]);
      await Promise.all([left.close(), right.close()]);
      expect(await left.receive()).toBeUndefined();
      expect(await right.receive()).toBeUndefined();
    }
  });

  it("do not wait for ever", async () => {
    await expect(openTabConnection("nobody", { timeoutMs: 20 })).rejects.toEqual(
      coded("connect-failed", "within 20 ms"),
    );
  });

  it.each(["", "x".repeat(257), 1 as unknown as string])("need a name", async (name) => {
    await expect(openTabConnection(name)).rejects.toEqual(coded("argument"));
  });
});
