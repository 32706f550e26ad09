import { describe, expect, it } from "vitest";
import { ByteQueue, CHUNK_COST_BYTES } from "../../src/transport/byte-queue.js";

const chunk = (length: number, value = 0): Uint8Array => new Uint8Array(length).fill(value);

describe("ByteQueue", () => {
  it("keeps the order over thousands of chunks", async () => {
    const queue = new ByteQueue(0);
    const total = 5000;
    let taken = 0;
    for (let pushed = 0; pushed < total; pushed++) {
      queue.push(Uint8Array.of(pushed & 255, pushed >> 8));
      if (pushed % 3 === 0) expect(await queue.take()).toEqual(Uint8Array.of(taken & 255, taken++ >> 8));
    }
    queue.end();
    for (; taken < total; taken++) expect(await queue.take()).toEqual(Uint8Array.of(taken & 255, taken >> 8));
    expect(await queue.take()).toBeUndefined();
  });

  it("is full above its mark only, small chunks counting for what they cost", async () => {
    const queue = new ByteQueue(1000 + CHUNK_COST_BYTES);
    queue.push(chunk(1000));
    expect(queue.isFull).toBe(false);
    queue.push(chunk(1));
    expect(queue.isFull).toBe(true);
    await queue.take();
    expect(queue.isFull).toBe(false);
    let count = 0;
    for (; !queue.isFull; count++) queue.push(chunk(1));
    expect(count).toBeLessThan(6);
  });

  it("wakes who waits for it to drain, not before", async () => {
    const queue = new ByteQueue(CHUNK_COST_BYTES);
    queue.push(chunk(1));
    queue.push(chunk(1));
    let isDrained = false;
    const draining = queue.drained().then(() => {
      isDrained = true;
    });
    await queue.take();
    await Promise.resolve();
    expect(isDrained).toBe(false);
    await queue.take();
    await draining;
  });

  it("tells of each chunk that leaves, also to one that was waiting", async () => {
    const left: number[] = [];
    const queue = new ByteQueue(0, ({ length }) => left.push(length));
    const waiting = queue.take();
    queue.push(chunk(1));
    queue.push(chunk(2));
    expect(left).toEqual([1]);
    await waiting;
    await queue.take();
    expect(left).toEqual([1, 2]);
  });

  it("fails both sides, each with its reason, and forgets its chunks; but not those before the end", async () => {
    const [reason, pushReason] = [new Error("for taking"), new Error("for pushing")];
    for (const isEnded of [false, true]) {
      const queue = new ByteQueue(0);
      queue.push(chunk(1, 7));
      const draining = queue.drained();
      if (isEnded) queue.end();
      queue.fail(reason, pushReason);
      await expect(draining).rejects.toBe(pushReason);
      if (isEnded) {
        expect(await queue.take()).toEqual(chunk(1, 7));
        expect(await queue.take()).toBeUndefined();
      } else {
        await expect(queue.take()).rejects.toBe(reason);
        queue.push(chunk(1));
        await expect(queue.take()).rejects.toBe(reason);
      }
    }
  });
});
