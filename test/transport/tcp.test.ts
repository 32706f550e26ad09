import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import type { Connection } from "../../src/transport/connection.js";
import { connectTcp, type Listener, listenTcp } from "../../src/transport/tcp.js";

const host = "127.0.0.1";
const coded = (code: string, words = ""): unknown =>
  expect.objectContaining({ name: "TransportError", code, message: expect.stringContaining(words) });

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Listens and gives the next connections in turn. */
async function listening(): Promise<{ listener: Listener; next(): Promise<Connection> }> {
  const arrived: Connection[] = [];
  const waiting: ((connection: Connection) => void)[] = [];
  const listener = await listenTcp({ host, port: 0 }, (connection) => {
    cleanups.push(() => connection.abort(new Error("the test is over")));
    const take = waiting.shift();
    if (take === undefined) arrived.push(connection);
    else take(connection);
  });
  cleanups.push(() => void listener.close());
  const next = async (): Promise<Connection> =>
    arrived.shift() ?? (await new Promise<Connection>((resolve) => waiting.push(resolve)));
  return { listener, next };
}

async function plainPeer(listener: Listener): Promise<Socket> {
  const socket = connect({ host, port: listener.port, allowHalfOpen: true });
  socket.on("error", () => {});
  cleanups.push(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

describe("TCP", () => {
  it("takes a plain end for the peer's close", async () => {
    const { listener, next } = await listening();
    const socket = await plainPeer(listener);
    const connection = await next();
    expect(connection.peer).toBeUndefined();
    socket.end("last words");
    expect(Buffer.from((await connection.receive()) as Uint8Array).toString()).toBe("last words");
    expect(await connection.receive()).toBeUndefined();
    await connection.send(Uint8Array.of(1));
    await connection.close();
    expect((await once(socket, "data"))[0]).toEqual(Buffer.of(1));
  });

  it("is lost at a reset", async () => {
    const { listener, next } = await listening();
    const socket = await plainPeer(listener);
    const connection = await next();
    const waiting = connection.receive();
    socket.resetAndDestroy();
    await expect(waiting).rejects.toEqual(coded("connection-lost"));
    await expect(connection.send(Uint8Array.of(1))).rejects.toEqual(coded("connection-lost"));
    await expect(connection.close()).rejects.toEqual(coded("connection-lost"));
  });

  it("resolves close only when everything has left, and rejects it when that never happens", async () => {
    const { listener, next } = await listening();
    const socket = await plainPeer(listener);
    socket.pause();
    const connection = await next();
    const sending = connection.send(new Uint8Array(64 << 20));
    const closing = connection.close();
    const outcomes = Promise.all([
      expect(sending).rejects.toEqual(coded("connection-lost")),
      expect(closing).rejects.toEqual(coded("connection-lost")),
    ]);
    socket.resetAndDestroy();
    await outcomes;
  });

  it("closing the listener leaves connections alone and takes no more", async () => {
    const { listener, next } = await listening();
    const left = await connectTcp({ host, port: listener.port });
    const right = await next();
    await listener.close();
    await expect(connectTcp({ host, port: listener.port })).rejects.toEqual(coded("connect-failed", "ECONNREFUSED"));
    await left.send(Uint8Array.of(1));
    expect(await right.receive()).toEqual(Uint8Array.of(1));
    left.abort(new Error("the test is over"));
  });

  it("says where and why it could not connect", async () => {
    const { listener } = await listening();
    await listener.close();
    await expect(connectTcp({ host, port: listener.port })).rejects.toEqual(
      coded("connect-failed", `Cannot connect to 127.0.0.1 port ${listener.port}: ECONNREFUSED`),
    );
    await expect(connectTcp({ host: "no-such-host.invalid", port: 1 })).rejects.toEqual(coded("connect-failed"));
  });

  it("gives up after the time limit", async () => {
    const full = await fullServer();
    await expect(connectTcp({ host, port: full, timeoutMs: 50 })).rejects.toEqual(
      coded("connect-failed", "no answer within 50 ms"),
    );
  });

  it("says that it cannot listen where somebody else does", async () => {
    const { listener } = await listening();
    await expect(listenTcp({ host, port: listener.port }, () => {})).rejects.toEqual(
      coded("connect-failed", "EADDRINUSE"),
    );
  });

  it("refuses addresses and time limits that are none", async () => {
    for (const port of [-1, 65536, 1.5, Number.NaN, "80" as unknown as number]) {
      await expect(connectTcp({ host, port })).rejects.toEqual(coded("argument", "port"));
      await expect(listenTcp({ host, port }, () => {})).rejects.toEqual(coded("argument", "port"));
    }
    await expect(connectTcp({ host, port: 0 })).rejects.toEqual(coded("argument", "port"));
    await expect(connectTcp({ host: "", port: 1 })).rejects.toEqual(coded("argument", "host"));
    await expect(connectTcp({ host, port: 1, timeoutMs: 0 })).rejects.toEqual(coded("argument", "timeoutMs"));
  });
});

/** The port of a server that has stopped accepting, and whose backlog is full: the kernel leaves the next connections unanswered. */
async function fullServer(): Promise<number> {
  const source = `
    const server = require("node:net").createServer();
    server.listen({ host: "${host}", port: 0, backlog: 1 }, () => {
      require("node:worker_threads").parentPort.postMessage(server.address().port);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const worker = new Worker(source, { eval: true });
  cleanups.push(() => void worker.terminate());
  const [port] = await once(worker, "message");
  for (let count = 0; count < 4; count++) {
    const socket = connect({ host, port });
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
  }
  return port;
}
