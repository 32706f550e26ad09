import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { createCredentials, writeCredentials } from "../../../src/transport/credentials.js";
import { expectSameBytes } from "../../support/bytes.js";
import { RunningCommand } from "../../support/command.js";
import { migrateTo, type QemuSocket, WaitingQemu } from "../../support/qemu-socket.js";
import { makeStream } from "../../support/qemu-stream.js";

const folder = mkdtempSync(join(tmpdir(), "pageferry-"));
const cleanups: (() => unknown)[] = [() => rmSync(folder, { recursive: true })];
afterEach(async () => {
  for (const cleanup of cleanups.splice(1).reverse()) await cleanup();
});

function run(...parameters: string[]): RunningCommand {
  const command = new RunningCommand(["qemu", ...parameters, "--reconnect-for", "1"]);
  cleanups.push(() => command.process.kill("SIGKILL"));
  return command;
}

async function waitingQemu(): Promise<WaitingQemu> {
  const waiting = await WaitingQemu.listen();
  cleanups.push(() => waiting.close());
  return waiting;
}

function placeOf({ address }: WaitingQemu): string {
  return "port" in address ? `${address.host}:${address.port}` : `unix:${address.path}`;
}

async function receive(waiting: WaitingQemu, ...more: string[]): Promise<readonly [RunningCommand, string]> {
  const command = run("relay-receive", "--listen", "127.0.0.1:0", "--machine", `db=${placeOf(waiting)}`, ...more);
  const [, port] = await command.waitFor(/Waiting for relays at [^ ]+:(\d+)/);
  return [command, port as string];
}

async function send(
  port: string,
  ...more: string[]
): Promise<readonly [RunningCommand, { host: string; port: number }]> {
  const command = run("relay-send", "--to", `127.0.0.1:${port}`, "--machine", "db=127.0.0.1:0", ...more);
  return [command, { host: "127.0.0.1", port: await portOf(command) }];
}

async function portOf(command: RunningCommand): Promise<number> {
  const [, port] = await command.waitFor(/Carrying db from 127.0.0.1:(\d+)/);
  return Number(port);
}

/** Carries a stream from end to end, and compares it. */
async function carry(address: { host: string; port: number }, waiting: WaitingQemu): Promise<void> {
  const { bytes } = makeStream({ seed: 1 });
  const source = migrateTo(address);
  const target: QemuSocket = await waiting.arrival();
  await source.write(bytes);
  source.socket.end();
  await target.ended;
  expectSameBytes(target.bytes, bytes);
  target.socket.end();
  await source.closed;
}

describe("pageferry qemu relay-send and relay-receive", () => {
  it("carry one stream with --once, and both tell of it in JSON", async () => {
    const waiting = await waitingQemu();
    const [receiving, port] = await receive(waiting, "--once", "--json");
    const [sending, address] = await send(port, "--once", "--json", "--cache", "64M", "--compression", "lz4");
    await carry(address, waiting);
    const [sent, received] = [await sending.done, await receiving.done];
    expect([sent.status, received.status]).toEqual([0, 0]);
    const { rawBytes } = sent.json();
    expect(rawBytes).toBe(makeStream({ seed: 1 }).bytes.length);
    expect(sent.json()).toMatchObject({ machine: "db", outcome: "ended", pages: { dup: expect.any(Number) } });
    expect(received.json()).toMatchObject({ machine: "db", outcome: "ended", rawBytes });
  });

  it("carry any number of streams, and go on with a new session where a relay was started anew", async () => {
    const waiting = await waitingQemu();
    const [first, port] = await receive(waiting);
    const [sending, address] = await send(port);
    await carry(address, waiting);
    await carry(address, waiting);
    await sending.waitFor(/db: The stream was carried to its end; .*\n.*db: The stream was carried/s);
    first.process.kill("SIGTERM");
    expect((await first.done).status).toBe(130);
    const again = run("relay-receive", "--listen", `127.0.0.1:${port}`, "--machine", `db=${placeOf(waiting)}`);
    await again.waitFor(/Waiting for relays/);
    const [, next] = await sending.waitFor(/Carrying db .*Carrying db from 127.0.0.1:(\d+)/s);
    await carry({ host: "127.0.0.1", port: Number(next) }, waiting);
    sending.process.kill("SIGTERM");
    const { status, stderr } = await sending.done;
    expect(status).toBe(130);
    expect(stderr).toMatch(/ended the session|is lost/);
  });

  it("end with an error after a stream that broke off, with --once", async () => {
    const waiting = await waitingQemu();
    const [receiving, port] = await receive(waiting, "--once");
    const [sending, address] = await send(port, "--once");
    const source = migrateTo(address);
    await waiting.arrival();
    source.socket.resetAndDestroy();
    const [sent, received] = [await sending.done, await receiving.done];
    expect([sent.status, received.status]).toEqual([1, 1]);
    expect(sent.stderr).toContain("QEMU broke off");
  });

  it("let only those peers bring streams that they were told, over TLS", async () => {
    await writeCredentials(folder, await createCredentials(["localhost", "other"]));
    const credentials = ["--credentials", join(folder, "localhost")];
    const waiting = await waitingQemu();
    const [, port] = await receive(waiting, ...credentials, "--peer", "somebody");
    const place = ["--to", `localhost:${port}`, "--machine", "db=127.0.0.1:0"];
    const refused = await run("relay-send", ...place, ...credentials).done;
    expect(refused.status).toBe(3);
    expect(refused.stderr).toContain("localhost may not bring streams here");
    const [receiving, openPort] = await receive(
      waiting,
      ...credentials,
      "--once",
      "--json",
      "--peer",
      "other",
      "localhost",
    );
    const sending = run(
      "relay-send",
      "--to",
      `localhost:${openPort}`,
      "--machine",
      "db=127.0.0.1:0",
      ...credentials,
      "--once",
    );
    await carry({ host: "127.0.0.1", port: await portOf(sending) }, waiting);
    expect((await receiving.done).json()).toMatchObject({ peer: { name: "localhost" } });
    expect((await sending.done).status).toBe(0);
  });

  it.each([
    ["no machine", ["relay-send", "--to", "127.0.0.1:1"]],
    ["a machine without a place", ["relay-receive", "--machine", "db"]],
    ["a port that is none", ["relay-receive", "--machine", "db=1:99999"]],
    ["a network without credentials", ["relay-receive", "--listen", "0.0.0.0:0", "--machine", "db=1"]],
  ])("want to be understood: %s is an error of usage", async (_, parameters) => {
    expect((await run(...parameters).done).status).toBe(2);
  });

  it("say what is wrong with machines: two of a name, or one that shares and is none", async () => {
    const waiting = await waitingQemu();
    const place = `db=${placeOf(waiting)}`;
    const twice = await run("relay-receive", "--listen", "127.0.0.1:0", "--machine", place, "--machine", place).done;
    expect([twice.status, twice.stderr]).toEqual([2, expect.stringContaining('Two machines are called "db"')]);
    const [, port] = await receive(waiting);
    const wrong = await run("relay-send", "--to", `127.0.0.1:${port}`, "--machine", "db=0", "--share", "db,web").done;
    expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining('"web" cannot share')]);
  });
});
