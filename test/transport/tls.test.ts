import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectPlainTls, createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection } from "../../src/transport/connection.js";
import { type Credentials, createCredentials } from "../../src/transport/credentials.js";
import type { Listener } from "../../src/transport/tcp.js";
import { connectTls, listenTls } from "../../src/transport/tls.js";
import { hosts, joined } from "./ends.js";

const host = "127.0.0.1";
const coded = (code: string, words = ""): unknown =>
  expect.objectContaining({ name: "TransportError", code, message: expect.stringContaining(words) });
const over = new Error("the test is over");

/** (Not `once`, which rejects at an error.) */
const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

let source: Credentials;
let destination: Credentials;
let stranger: Credentials;
let expired: { source: Credentials; destination: Credentials };
beforeAll(async () => {
  ({ source, destination } = await hosts());
  stranger = (await createCredentials(["source"]))["source"] as Credentials;
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 3 * 86_400_000 });
  expired = (await createCredentials(["source", "destination"], { days: 1 })) as unknown as typeof expired;
  vi.useRealTimers();
});

describe("TLS between hosts of one authority", () => {
  it("tells each side who the other is", async () => {
    const [left, right] = await joined(
      (onConnection) => listenTls({ host, port: 0, credentials: destination }, onConnection),
      (port) => connectTls({ host, port, credentials: source, serverName: "destination" }),
    );
    const fingerprint = ({ certificate }: Credentials): string =>
      new X509Certificate(certificate).fingerprint256.replaceAll(":", "").toLowerCase();
    expect(left.peer).toEqual({ name: "destination", fingerprint: fingerprint(destination) });
    expect(right.peer).toEqual({ name: "source", fingerprint: fingerprint(source) });
    expect(left.peer?.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    left.abort(over);
    right.abort(over);
  });

  it("loses nothing of what the listener sends, or of its close, at once", async () => {
    for (let round = 0; round < 5; round++) {
      const [left, right] = await joined(
        (onConnection) =>
          listenTls({ host, port: 0, credentials: destination }, (connection) => {
            void connection.send(Uint8Array.of(1, 2, 3));
            void connection.close();
            onConnection(connection);
          }),
        (port) => connectTls({ host, port, credentials: source }),
      );
      expect(await left.receive()).toEqual(Uint8Array.of(1, 2, 3));
      expect(await left.receive()).toBeUndefined();
      left.abort(over);
      right.abort(over);
    }
  });
});

describe("TLS that is aborted as soon as it is there", () => {
  it("does not take the process with it", async () => {
    for (let round = 0; round < 10; round++) {
      const options = { host, port: 0, credentials: destination };
      const listener = await listenTls(options, (connection) => connection.abort(over));
      const connection = await connectTls({ host, port: listener.port, credentials: source }).catch(() => undefined);
      await connection?.receive().catch(() => {});
      connection?.abort(over);
      await listener.close();
    }
  });
});

describe("a TLS listener", () => {
  let listener: Listener;
  const arrived: Connection[] = [];
  beforeAll(async () => {
    const options = { host, port: 0, credentials: destination, handshakeTimeoutMs: 300 };
    listener = await listenTls(options, (connection) => arrived.push(connection));
  });
  afterAll(() => listener.close());
  beforeEach(() => {
    arrived.length = 0;
  });

  /** The listener has handed nobody on, and still takes a host that it should. */
  async function expectUnharmed(): Promise<void> {
    expect(arrived).toEqual([]);
    const connection = await connectTls({ host, port: listener.port, credentials: source });
    expect(arrived.map(({ peer }) => peer?.name)).toEqual(["source"]);
    connection.abort(over);
    arrived[0]?.abort(over);
  }

  async function plainTls(options: ConnectionOptions): Promise<string> {
    const socket = connectPlainTls({
      host,
      port: listener.port,
      ca: source.authority,
      servername: "destination",
      ...options,
    });
    socket.on("data", () => {});
    let code = "no error";
    socket.on("error", (error) => {
      code = (error as NodeJS.ErrnoException).code ?? error.message;
    });
    await closed(socket);
    return code;
  }

  it("turns away a certificate of another authority, which then knows", async () => {
    const mixed = { ...stranger, authority: source.authority };
    await expect(connectTls({ host, port: listener.port, credentials: mixed })).rejects.toEqual(
      coded("not-authenticated", "does not accept this side's certificate"),
    );
    await expectUnharmed();
  });

  it("turns away who has no certificate", async () => {
    expect(await plainTls({})).toBe("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED");
    await expectUnharmed();
  });

  it("turns away a certificate that signed itself in a known name", async () => {
    const { authority, certificate: cert, key } = stranger;
    const code = await plainTls({ cert: cert + authority, key });
    expect(["no error", "ECONNRESET"]).toContain(code);
    await expectUnharmed();
  });

  it("turns away TLS 1.2", async () => {
    const { certificate: cert, key } = source;
    expect(await plainTls({ cert, key, maxVersion: "TLSv1.2" })).toMatch(/PROTOCOL_VERSION/);
    await expectUnharmed();
  });

  it("is not harmed by what is not TLS", async () => {
    const random = Uint8Array.from({ length: 100_000 }, (_, at) => (at * 7919) >> 3);
    for (const garbage of ["GET / HTTP/1.1\r\n\r\n", random, "", Uint8Array.of(0x16, 3, 1, 0xff, 0xff)]) {
      const socket = connect(listener.port, host);
      socket.on("error", () => {});
      socket.on("data", () => {});
      socket.end(garbage);
      await closed(socket);
    }
    const reset = connect(listener.port, host);
    await once(reset, "connect");
    reset.resetAndDestroy();
    await expectUnharmed();
  });

  it("waits for nobody longer than the limit, not even where a byte comes now and then", async () => {
    const socket = connect(listener.port, host);
    socket.on("error", () => {});
    socket.on("data", () => {});
    // The start of a record of 16 KiB, that never ends.
    socket.write(Uint8Array.of(0x16, 3, 1, 0x40, 0));
    const drip = setInterval(() => socket.write(Uint8Array.of(0)), 20);
    await closed(socket);
    clearInterval(drip);
    await expectUnharmed();
  });

  it("breaks off unfinished handshakes when it closes", async () => {
    const own = await listenTls({ host, port: 0, credentials: destination }, () => {});
    const socket = connect(own.port, host);
    socket.on("error", () => {});
    socket.write(Uint8Array.of(0x16));
    // Another connection that has got through shows that this one has been taken.
    (await connectTls({ host, port: own.port, credentials: source })).abort(over);
    const isClosed = closed(socket);
    socket.resume();
    await own.close();
    await isClosed;
  });

  it("does not hand on a certificate that has expired, and says so to its owner", async () => {
    const own = await listenTls(
      { host, port: 0, credentials: { ...destination, authority: expired.source.authority } },
      (c) => arrived.push(c),
    );
    const credentials = { ...expired.source, authority: source.authority };
    await expect(connectTls({ host, port: own.port, credentials })).rejects.toEqual(
      coded("not-authenticated", "in date"),
    );
    await own.close();
    await expectUnharmed();
  });
});

describe("a TLS connection", () => {
  const listening = async (credentials: Credentials): Promise<Listener> =>
    listenTls({ host, port: 0, credentials }, (connection) => connection.abort(over));

  it("refuses a listener of another authority, of another name, or out of date", async () => {
    const cases = [
      { listener: stranger, options: {}, words: "does not prove that it is 127.0.0.1" },
      { listener: destination, options: { serverName: "other" }, words: "ERR_TLS_CERT_ALTNAME_INVALID" },
      { listener: destination, options: { serverName: "10.1.2.3" }, words: "ERR_TLS_CERT_ALTNAME_INVALID" },
      { listener: expired.destination, options: { credentials: expired.source }, words: "CERT_HAS_EXPIRED" },
    ];
    for (const { listener, options, words } of cases) {
      const { port, close } = await listening(listener);
      await expect(connectTls({ host, port, credentials: source, ...options })).rejects.toEqual(
        coded("not-authenticated", words),
      );
      await close();
    }
  });

  it("refuses what is no TLS 1.3, is silent, or is no pageferry listener", async () => {
    const { certificate: cert, key, authority: ca } = destination;
    const old = createTlsServer({ cert, key, ca, maxVersion: "TLSv1.2" });
    const other = createTlsServer({ cert, key, ca }, (socket) => socket.on("error", () => {}).write("HTTP/1.1 400 "));
    const plain = createServer((socket) => socket.on("error", () => {}).end("220 mail\r\n"));
    const silent = createServer((socket) => socket.on("error", () => {}).resume());
    for (const [server, words] of [
      [old, "No TLS 1.3 connection"],
      [other, "is not pageferry"],
      [plain, "No TLS 1.3 connection"],
      [silent, "in time"],
    ] as const) {
      const sockets: Socket[] = [];
      server.on("connection", (socket: Socket) => sockets.push(socket));
      server.listen(0, host);
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const timeoutMs = server === silent ? 100 : 10_000;
      await expect(connectTls({ host, port, credentials: source, timeoutMs })).rejects.toEqual(
        coded("connect-failed", words),
      );
      server.close();
      for (const socket of sockets) socket.destroy();
    }
  });

  it("says that nobody listens", async () => {
    const { port, close } = await listening(destination);
    await close();
    await expect(connectTls({ host, port, credentials: source })).rejects.toEqual(
      coded("connect-failed", "ECONNREFUSED"),
    );
  });

  it("refuses credentials that are none, on both sides, without showing the key", async () => {
    for (const [wrong, words] of [
      [{ ...source, key: destination.key }, "does not belong"],
      [{ ...source, key: "secret" }, "private key"],
      [{ ...source, certificate: "" }, "certificate"],
      [{ ...source, authority: source.key }, "authority"],
    ] as const) {
      for (const call of [
        () => connectTls({ host, port: 1, credentials: wrong }),
        () => listenTls({ host, port: 0, credentials: wrong }, () => {}),
      ]) {
        const error = await call().catch((reason: unknown) => reason);
        expect(error).toEqual(coded("credentials", words));
        expect(`${error} ${(error as Error).cause}`).not.toMatch(/secret|PRIVATE/);
      }
    }
  });

  it("carries nothing that is not encrypted", async () => {
    const seen: Buffer[] = [];
    const text = Buffer.from("pages of a guest's memory, repeated. ".repeat(100));
    const [left, right] = await joined(
      (onConnection) => listenTls({ host, port: 0, credentials: destination }, onConnection),
      async (port) => {
        const proxy = createServer((near) => {
          const far = connect(port, host);
          near
            .on("data", (bytes) => seen.push(bytes))
            .pipe(far)
            .pipe(near);
          near.on("error", () => far.destroy());
          far.on("error", () => near.destroy());
        });
        proxy.listen(0, host);
        await once(proxy, "listening");
        const connection = await connectTls({ host, port: (proxy.address() as AddressInfo).port, credentials: source });
        proxy.close();
        return connection;
      },
    );
    await left.send(text);
    await left.close();
    let received = 0;
    for (let chunk = await right.receive(); chunk !== undefined; chunk = await right.receive())
      received += chunk.length;
    expect(received).toBe(text.length);
    const wire = Buffer.concat(seen);
    expect(wire.length).toBeGreaterThan(text.length);
    expect(wire.includes("memory")).toBe(false);
    expect(wire.includes("source")).toBe(false);
    left.abort(over);
    right.abort(over);
  });
});
