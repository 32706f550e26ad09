import { once } from "node:events";
import { readFileSync } from "node:fs";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Connection } from "../../src/transport/connection.js";
import { messagePortConnection } from "../../src/transport/message-port.js";

const lost = expect.objectContaining({ name: "TransportError", code: "connection-lost" });

describe("a message port with a peer that is no connection", () => {
  let connection: Connection;
  let peer: MessagePort;
  beforeEach(() => {
    const { port1, port2 } = new MessageChannel();
    connection = messagePortConnection(port1);
    peer = port2;
  });
  afterEach(() => {
    connection.abort(new Error("the test is over"));
    peer.close();
  });

  const bytes = (length: number): unknown => ({ type: "bytes", buffer: new ArrayBuffer(length) });
  it.each([
    ["nothing", undefined],
    ["null", null],
    ["text", "bytes"],
    ["no type", {}],
    ["an unknown type", { type: "hello" }],
    ["no buffer", { type: "bytes" }],
    ["a view in place of a buffer", { type: "bytes", buffer: new Uint8Array(4) }],
    ["shared memory", { type: "bytes", buffer: new SharedArrayBuffer(4) }],
    ["no bytes", bytes(0)],
    ["more bytes than the window", bytes(2 * 1024 * 1024)],
    ["credit that is text", { type: "credit", bytes: "1" }],
    ["no credit", { type: "credit", bytes: 0 }],
    ["negative credit", { type: "credit", bytes: -1 }],
    ["credit that is no number", { type: "credit", bytes: Number.NaN }],
    ["credit for what was not sent", { type: "credit", bytes: 1 }],
  ])("is broken off by %s", async (_, message) => {
    const answer = once(peer, "message");
    peer.postMessage(message);
    await expect(connection.receive()).rejects.toEqual(lost);
    await expect(connection.send(Uint8Array.of(1))).rejects.toEqual(lost);
    expect((await answer)[0]).toEqual({ type: "abort" });
  });

  it("is broken off by one byte more than was granted, however small the pieces", async () => {
    for (let sent = 0; sent <= 8; sent++) peer.postMessage(bytes(128 * 1024));
    await once(peer, "message");
    await expect(connection.receive()).rejects.toEqual(lost);
  });

  it("is broken off by empty-handed floods: each message costs", async () => {
    for (let sent = 0; sent <= 4096; sent++) peer.postMessage(bytes(1));
    expect((await once(peer, "message"))[0]).toEqual({ type: "abort" });
  });

  it("ends, and can send no more, when bytes come after the close", async () => {
    peer.postMessage({ type: "close" });
    peer.postMessage(bytes(1));
    await once(peer, "message");
    expect(await connection.receive()).toBeUndefined();
    await expect(connection.send(Uint8Array.of(1))).rejects.toEqual(lost);
  });

  it("is lost when the port is closed without a word", async () => {
    const waiting = connection.receive();
    peer.close();
    await expect(waiting).rejects.toEqual(lost);
    await expect(connection.send(Uint8Array.of(1))).rejects.toEqual(lost);
  });

  it("posts no more than the window without credit", async () => {
    let posted = 0;
    let abort: () => void = () => {};
    const isAborted = new Promise<void>((resolve) => {
      abort = resolve;
    });
    peer.on("message", (message: { type: string; buffer?: ArrayBuffer }) => {
      if (message.type === "abort") abort();
      posted += message.buffer?.byteLength ?? 0;
    });
    const sending = connection.send(new Uint8Array(4 * 1024 * 1024));
    sending.catch(() => {});
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    connection.abort(new Error("enough"));
    await isAborted;
    expect(posted).toBeGreaterThan(512 * 1024);
    expect(posted).toBeLessThanOrEqual(1024 * 1024);
  });
});

describe("a message port to a worker", () => {
  it("is lost when the worker ends", async () => {
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker("require('node:worker_threads').parentPort.once('message', () => {})", { eval: true });
    worker.postMessage(port2, [port2]);
    await once(worker, "online");
    const waiting = messagePortConnection(port1).receive();
    const outcome = expect(waiting).rejects.toEqual(lost);
    await worker.terminate();
    await outcome;
  });

  it("lets the process's port go when both sides have closed", async () => {
    const { port1, port2 } = new MessageChannel();
    const closed = Promise.all([once(port1, "close"), once(port2, "close")]);
    const [left, right] = [messagePortConnection(port1), messagePortConnection(port2)];
    await left.close();
    await right.close();
    await closed;
    expect(await left.receive()).toBeUndefined();
  });
});

describe("what browsers use too", () => {
  it("index.ts reaches nothing of Node", () => {
    const seen = new Set<string>();
    const visit = (url: URL): void => {
      if (seen.has(url.href)) return;
      seen.add(url.href);
      const source = readFileSync(url, "utf8");
      for (const [statement, from] of source.matchAll(/^(?:import|export)[^;]*? from "([^"]+)";$/gms)) {
        if (/^(import|export) type/.test(statement)) continue;
        expect(from, url.pathname).not.toMatch(/^node:|^ws$/);
        if (from?.startsWith(".")) visit(new URL(from.replace(/\.js$/, ".ts"), url));
      }
    };
    visit(new URL("../../src/index.ts", import.meta.url));
    expect(seen.size).toBeGreaterThan(50);
  });
});
