import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunningCommand, runCommand } from "../support/command.js";
import { CuttingProxy } from "../support/cutting-proxy.js";
import { Random } from "../support/random.js";

describe("pageferry send and receive over a link that is cut", () => {
  const folder = mkdtempSync(join(tmpdir(), "pageferry-resume-"));
  const into = join(folder, "into");
  const image = join(folder, "guest.raw");
  const content = new Random(9).bytes(4 << 20);
  const running: RunningCommand[] = [];
  const proxies: CuttingProxy[] = [];

  beforeAll(() => {
    mkdirSync(into);
    writeFileSync(image, content);
  });
  afterAll(() => {
    for (const proxy of proxies) proxy.close();
    for (const command of running) command.process.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  /** A destination, behind a proxy that cuts each connection after so many bytes. */
  async function receiveBehind(budgets: number[], ...parameters: string[]): Promise<[RunningCommand, CuttingProxy]> {
    const command = new RunningCommand(["receive", "--listen", "127.0.0.1:0", "--into", into, ...parameters]);
    running.push(command);
    const [, port] = await command.waitFor(/Waiting for machines at 127\.0\.0\.1:(\d+)/);
    const proxy = await CuttingProxy.start(Number(port), () => budgets.shift() ?? Number.POSITIVE_INFINITY);
    proxies.push(proxy);
    return [command, proxy];
  }

  it("go on where they were, and say so in a line each", async () => {
    const [receive, proxy] = await receiveBehind([1_000_000, 700_000], "--once");
    const sent = await runCommand("send", image, "--to", `127.0.0.1:${proxy.port}`, "--json");
    expect(sent.status).toBe(0);
    expect(sent.json()).toMatchObject({ outcome: "completed" });
    const lines = sent.stderr.trimEnd().split("\n");
    expect(proxy.cuts).toBe(2);
    // One pause where the second link was cut before anything came over it.
    const words = lines.map((line) => /lost|back/.exec(line)?.[0]);
    expect([
      ["lost", "back"],
      ["lost", "back", "lost", "back"],
    ]).toContainEqual(words);
    expect(lines[0]).toMatch(
      /^pageferry: The link to the other side is lost; trying for 30 s to get it back\. \(.+\)$/,
    );
    const received = await receive.done;
    expect(received.status).toBe(0);
    expect(received.stderr).toContain("is back");
    expect(readFileSync(join(into, "guest.raw")).equals(content)).toBe(true);
  });

  it("give up after the time that --reconnect-for says", async () => {
    const [receive, proxy] = await receiveBehind(
      [1_000_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      "--once",
      "--reconnect-for",
      "0.4",
    );
    const name = ["--name", "other.raw"];
    const sent = await runCommand("send", image, ...name, "--to", `127.0.0.1:${proxy.port}`, "--reconnect-for", "0.3");
    expect(sent.status).toBe(1);
    expect(sent.stderr).toContain("could not be resumed within 300 ms");
    const received = await receive.done;
    expect(received.status).toBe(1);
    expect(received.stderr).toContain("(connection-lost)");
  });

  it("take no wrong times", async () => {
    for (const seconds of ["0", "-1", "soon", "1e9"]) {
      const { status, stderr } = await runCommand("send", image, "--to", "127.0.0.1:1", "--reconnect-for", seconds);
      expect([status, stderr]).toEqual([2, expect.stringContaining("--reconnect-for")]);
    }
  });
});
