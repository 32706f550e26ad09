import { expect, it } from "vitest";
import type { Orders } from "../../src/worker/messages.js";
import { type SendOrder, WorkerSnapshots } from "../../src/worker/snapshots.js";

it("the snapshots of a worker are its orders of that name, with what goes in and what comes out", async () => {
  const ordered: unknown[] = [];
  const results: { readonly [Name in keyof Orders]?: unknown } = {
    listSnapshots: [{ id: "one" }],
    saveSnapshot: { id: "two" },
    exportSnapshot: Uint8Array.of(1, 2, 3),
    importSnapshot: "three",
  };
  const order: SendOrder = async (name, argument) => {
    ordered.push([name, argument]);
    return results[name] as never;
  };
  const snapshots = new WorkerSnapshots(order);
  expect(await snapshots.list()).toBe(results.listSnapshots);
  expect(await snapshots.save()).toBe(results.saveSnapshot);
  expect(await snapshots.restore("one")).toBeUndefined();
  expect(await snapshots.remove("two")).toBeUndefined();
  expect(await snapshots.export("one")).toBe(results.exportSnapshot);
  expect(await snapshots.import(Uint8Array.of(4))).toBe("three");
  expect(ordered).toEqual([
    ["listSnapshots", undefined],
    ["saveSnapshot", undefined],
    ["restoreSnapshot", { id: "one" }],
    ["removeSnapshot", { id: "two" }],
    ["exportSnapshot", { id: "one" }],
    ["importSnapshot", { bytes: Uint8Array.of(4) }],
  ]);
});
