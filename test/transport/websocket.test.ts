import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { Connection } from "../../src/transport/connection.js";
import { webSocketConnection } from "../../src/transport/websocket.js";
import {
  connectWebSocket,
  listenWebSocket,
  type WebSocketArrival,
  type WebSocketListenOptions,
} from "../../src/transport/websocket-server.js";

const host = "127.0.0.1";
const TOKEN = "a-secret-of-sixteen-or-more";
const over = new Error("the test is over");
const coded = (code: string, words = ""): unknown =>
  expect.objectContaining({ name: "TransportError", code, message: expect.stringContaining(words) });

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

interface Place {
  readonly url: string;
  readonly arrivals: WebSocketArrival[];
  readonly arrived: Promise<Connection>;
}

async function listening(options: Partial<WebSocketListenOptions> = {}): Promise<Place> {
  const arrivals: WebSocketArrival[] = [];
  let arrive: (connection: Connection) => void = () => {};
  const arrived = new Promise<Connection>((resolve) => {
    arrive = resolve;
  });
  const listener = await listenWebSocket({ host, port: 0, ...options }, (connection, arrival) => {
    arrivals.push(arrival);
    cleanups.push(() => connection.abort(over));
    arrive(connection);
  });
  cleanups.push(() => void listener.close());
  return { url: `ws://${host}:${listener.port}`, arrivals, arrived };
}

/** What becomes of a WebSocket: `open`, or the HTTP status of the refusal. */
async function attempt(url: string, protocols: string[], origin?: string): Promise<string> {
  const socket = new WebSocket(url, protocols, origin === undefined ? {} : { origin });
  cleanups.push(() => socket.terminate());
  return await new Promise((resolve) => {
    socket.on("open", () => resolve(`open ${socket.protocol}`));
    socket.on("error", ({ message }) => resolve(message.replace("Unexpected server response: ", "")));
  });
}

describe("who may connect to a WebSocket listener", () => {
  const page = "http://localhost:8080";
  it.each([
    ["no page by default", {}, ["pageferry"], page, "403"],
    ["a page of the list", { origins: [page] }, ["pageferry"], page, "open pageferry"],
    ["no other page", { origins: [page] }, ["pageferry"], "http://localhost:8081", "403"],
    ["no page of an opaque origin", { origins: [page] }, ["pageferry"], "null", "403"],
    ["what is no browser", { origins: [page] }, ["pageferry"], undefined, "open pageferry"],
    ["nobody of another protocol", {}, ["chat"], undefined, "400"],
    ["nobody without a protocol", {}, [], undefined, "400"],
    ["nobody without the token", { token: TOKEN }, ["pageferry"], undefined, "401"],
    ["nobody with another", { token: TOKEN }, ["pageferry", `pageferry.${TOKEN}x`], undefined, "401"],
    [
      "who has the token, which is not told back",
      { token: TOKEN },
      [`pageferry.${TOKEN}`, "pageferry"],
      undefined,
      "open pageferry",
    ],
    ["no other page, also with the token", { token: TOKEN }, ["pageferry", `pageferry.${TOKEN}`], page, "403"],
    ["nobody at a path that is none", { hasPath: (path) => path === "/a" }, ["pageferry"], undefined, "404"],
  ] satisfies [string, Partial<WebSocketListenOptions>, string[], string | undefined, string][])(
    "%s",
    async (_, options, protocols, origin, outcome) => {
      const { url, arrivals } = await listening(options);
      expect(await attempt(url, protocols, origin)).toBe(outcome);
      expect(arrivals.length).toBe(outcome.startsWith("open") ? 1 : 0);
    },
  );

  it("is told by path and origin", async () => {
    const { url, arrivals } = await listening({ origins: [page] });
    await attempt(`${url}/departures/my%20vm?x=1`, ["pageferry"], page);
    expect(arrivals).toEqual([{ path: "/departures/my%20vm", origin: page }]);
  });

  it.each(["localhost", "http://localhost/", "http://localhost/x", "null", "*"])("no list with %s", async (origin) => {
    await expect(listening({ origins: [origin] })).rejects.toEqual(coded("argument", origin));
  });
});

describe("a WebSocket with a peer that is no connection", () => {
  const credit = (bytes: number): Uint8Array => Uint8Array.of(2, bytes, bytes >> 8, bytes >> 16, bytes >> 24);
  it.each([
    ["text", "hello"],
    ["an empty message", new Uint8Array(0)],
    ["type 0", Uint8Array.of(0)],
    ["an unknown type", Uint8Array.of(5)],
    ["no bytes", Uint8Array.of(1)],
    ["short credit", Uint8Array.of(2, 1, 0, 0)],
    ["long credit", Uint8Array.of(2, 1, 0, 0, 0, 0)],
    ["no credit", credit(0)],
    ["credit for what was not sent", credit(1)],
    ["a long close", Uint8Array.of(3, 0)],
    ["a long abort", Uint8Array.of(4, 0)],
    ["a message larger than a piece", new Uint8Array(128 * 1024 + 2).fill(1)],
  ])("is broken off by %s", async (_, message) => {
    const { url, arrived } = await listening();
    const socket = new WebSocket(url, ["pageferry"]);
    const isClosed = once(socket, "close");
    await once(socket, "open");
    socket.send(message);
    const connection = await arrived;
    await expect(connection.receive()).rejects.toEqual(coded("connection-lost"));
    await expect(connection.send(Uint8Array.of(1))).rejects.toEqual(coded("connection-lost"));
    await isClosed;
  });

  it("is broken off by more bytes than were granted, and keeps no more", async () => {
    const { url, arrived } = await listening();
    const socket = new WebSocket(url, ["pageferry"]);
    await once(socket, "open");
    const piece = new Uint8Array(128 * 1024 + 1).fill(1);
    for (let sent = 0; sent <= 32; sent++) socket.send(piece);
    await once(socket, "close");
    await expect((await arrived).receive()).rejects.toEqual(coded("connection-lost"));
  });
});

describe("connecting a WebSocket", () => {
  it("gives the listener's secret", async () => {
    const { url, arrived } = await listening({ token: TOKEN });
    const connection = await connectWebSocket(url, { token: TOKEN });
    cleanups.push(() => connection.abort(over));
    await connection.send(Uint8Array.of(7));
    expect(await (await arrived).receive()).toEqual(Uint8Array.of(7));
  });

  it("says where nobody lets it in, and not the secret", async () => {
    const { url } = await listening({ token: TOKEN });
    const outcome = connectWebSocket(`${url}/x?secret=1`, { token: `${TOKEN}-wrong` });
    await expect(outcome).rejects.toEqual(coded("connect-failed", `${url}/x: Unexpected server response: 401`));
    await expect(outcome).rejects.not.toThrow(/secret/);
  });

  it.each(["localhost", "http://localhost", "ws://localhost/#a", ""])("refuses %j as an address", async (url) => {
    await expect(connectWebSocket(url)).rejects.toEqual(coded("argument", "ws://HOST"));
  });

  it("refuses what can be no token", async () => {
    await expect(connectWebSocket("ws://localhost", { token: "short" })).rejects.toEqual(coded("argument", "token"));
  });

  it("gives up in time", async () => {
    const { createServer } = await import("node:net");
    const server = createServer((socket) => cleanups.push(() => socket.destroy())).listen(0, host);
    cleanups.push(() => server.close());
    await once(server, "listening");
    const url = `ws://${host}:${(server.address() as AddressInfo).port}`;
    await expect(connectWebSocket(url, { timeoutMs: 50 })).rejects.toEqual(coded("connect-failed", "within 50 ms"));
  });

  it("sends what was sent before the socket was open", async () => {
    const { url, arrived } = await listening();
    const connection = webSocketConnection(new WebSocket(url, ["pageferry"]));
    await connection.send(Uint8Array.of(1, 2));
    await connection.close();
    const other = await arrived;
    expect(await other.receive()).toEqual(Uint8Array.of(1, 2));
    expect(await other.receive()).toBeUndefined();
  });

  it("is lost when the other side is gone without a word", async () => {
    const server = new WebSocketServer({ host, port: 0, handleProtocols: () => "pageferry" });
    cleanups.push(() => server.close());
    server.on("connection", (socket) => socket.terminate());
    await once(server, "listening");
    const connection = await connectWebSocket(`ws://${host}:${(server.address() as AddressInfo).port}`);
    await expect(connection.receive()).rejects.toEqual(coded("connection-lost"));
  });
});
