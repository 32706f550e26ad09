import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunningCommand, runCommand } from "../support/command.js";
import { Random } from "../support/random.js";

describe("pageferry send and receive", () => {
  const folder = mkdtempSync(join(tmpdir(), "pageferry-send-"));
  const into = join(folder, "into");
  const image = join(folder, "guest.raw");
  const credentials = join(folder, "credentials");
  const running: RunningCommand[] = [];
  let content = new Random(8).memoryLike(3 * 1024 * 1024 + 17);

  beforeAll(async () => {
    writeFileSync(image, content);
    const made = await runCommand("keygen", "alpha", "beta", "-o", credentials, "--json");
    expect(made.json()).toEqual({ folders: [join(credentials, "alpha"), join(credentials, "beta")] });
    const { mkdirSync } = await import("node:fs");
    mkdirSync(into);
  });
  afterAll(() => {
    for (const command of running) command.process.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  async function receive(...parameters: string[]): Promise<{ command: RunningCommand; port: string }> {
    const command = new RunningCommand(["receive", "--listen", "127.0.0.1:0", ...parameters]);
    running.push(command);
    const [, port] = await command.waitFor(/Waiting for machines at 127\.0\.0\.1:(\d+)/);
    return { command, port: port as string };
  }

  it("brings an image to a file of the same bytes, and then only what differs", async () => {
    const { command, port } = await receive("--into", into, "--json");
    const sent = await runCommand("send", image, "--to", `127.0.0.1:${port}`, "--json");
    expect(sent.stderr).toBe("");
    expect(sent.status).toBe(0);
    expect(sent.json()).toMatchObject({ outcome: "completed", machine: "guest.raw" });
    expect(readFileSync(join(into, "guest.raw")).equals(content)).toBe(true);

    content = content.slice();
    content.fill(7, 500_000, 500_100);
    writeFileSync(image, content);
    const again = await runCommand("send", image, "--to", `127.0.0.1:${port}`, "--json");
    expect(again.status).toBe(0);
    expect(again.json()["transferredBytes"]).toBeLessThan(10_000);
    expect(readFileSync(join(into, "guest.raw")).equals(content)).toBe(true);
    expect(readdirSync(into)).toEqual(["guest.raw"]);

    command.process.kill("SIGTERM");
    expect((await command.done).status).toBe(130);
  });

  it("sends a running workload over TLS to whom the policy allows, and refuses others", async () => {
    const policy = join(folder, "policy.json");
    const rules = [{ peer: "alpha", machine: "test-*", kind: "memory", maxBytes: "64MiB" }];
    writeFileSync(policy, JSON.stringify({ allow: rules }));
    const { port } = await receive("--policy", policy, "--credentials", join(credentials, "beta"));
    const to = ["--to", `127.0.0.1:${port}`, "--server-name", "beta", "--json"];
    const alpha = [...to, "--credentials", join(credentials, "alpha")];

    const allowed = await runCommand("send", "--guest", "memory", "--name", "test-1", ...alpha);
    expect(allowed.status).toBe(0);
    expect(allowed.json()).toMatchObject({ outcome: "completed", verification: { verified: true } });

    const refused = await runCommand("send", "--guest", "memory", "--name", "other", ...alpha);
    expect(refused.status).toBe(3);
    expect(refused.json()).toMatchObject({ outcome: "failed", error: { code: "refused" } });
    expect(refused.stderr).toContain("does not let alpha");

    const stranger = await runCommand("send", "--guest", "memory", "--name", "test-1", ...to);
    expect(stranger.status).toBe(1);
    expect(stranger.stdout).not.toContain("completed");
  });

  it("takes no names that leave the folder", async () => {
    const { port } = await receive("--into", into);
    for (const name of ["../escaped", "a/b", ".hidden", ""]) {
      const { status, stderr } = await runCommand("send", image, "--name", name, "--to", `127.0.0.1:${port}`);
      expect([status, stderr]).toEqual([3, expect.stringContaining("is no name for a file")]);
    }
    expect(readdirSync(folder)).not.toContain("escaped");
  });

  it("does not go beyond this machine in the clear unless told so", async () => {
    const send = await runCommand("send", image, "--to", "192.0.2.1:7800");
    expect([send.status, send.stderr]).toEqual([2, expect.stringContaining("pageferry keygen")]);
    const wait = await runCommand("receive", "--listen", "0.0.0.0:0", "--into", into);
    expect([wait.status, wait.stderr]).toEqual([2, expect.stringContaining("--insecure")]);
    const insecure = new RunningCommand(["receive", "--listen", "0.0.0.0:0", "--into", into, "--insecure"]);
    running.push(insecure);
    await insecure.waitFor(/INSECURE/);
  });

  it("leaves the source as it was and nothing at the destination when it is interrupted", async () => {
    const { command, port } = await receive("--into", into, "--json");
    const send = new RunningCommand([
      "send",
      image,
      "--name",
      "slow.raw",
      "--to",
      `127.0.0.1:${port}`,
      "--bandwidth",
      "100k",
    ]);
    running.push(send);
    // The destination has begun: its unfinished file is there.
    for (let seen = false; !seen; await new Promise((resolve) => setTimeout(resolve, 20))) {
      seen = readdirSync(into).some((name) => name.includes("slow.raw"));
    }
    send.process.kill("SIGINT");
    expect((await send.done).status).toBe(130);
    command.process.kill("SIGTERM");
    await command.done;
    expect(readdirSync(into)).toEqual(["guest.raw"]);
  });

  it("says what is wrong with a policy", async () => {
    const policy = join(folder, "wrong.json");
    writeFileSync(policy, JSON.stringify({ allow: [{ peer: "alpha", machine: "*", maxBytes: "lots" }] }));
    const { status, stderr } = await runCommand("receive", "--policy", policy);
    expect([status, stderr]).toEqual([2, expect.stringContaining("allow.0.maxBytes")]);
  });
});
