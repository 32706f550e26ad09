import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RunningCommand } from "../support/command.js";

/** Of a memory guest. */
const MEMORY_BYTES = 64 << 20;

describe("a machine whose memory follows it, and whose other end dies", () => {
  let folder: string;
  const commands: RunningCommand[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pageferry-"));
  });
  afterEach(() => {
    for (const command of commands.splice(0)) command.process.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  function run(...parameters: string[]): RunningCommand {
    const command = new RunningCommand(parameters);
    commands.push(command);
    return command;
  }

  /** Both ends, once the machine runs there and its memory is on its way: that takes ten seconds. */
  async function following(): Promise<{ sending: RunningCommand; receiving: RunningCommand }> {
    const patience = ["--lost-after", "1", "--salvage", join(folder, "salvaged")];
    const receiving = run("receive", "--into", folder, "--listen", "127.0.0.1:0", "--once", ...patience);
    const [, port] = await receiving.waitFor(/ at [^ ]+:(\d+)/);
    const to = ["--to", `127.0.0.1:${port}`, "--bandwidth", "3M"];
    const sending = run("send", "--guest", "memory", ...to, "--strategy", "postcopy", "--json", ...patience);
    await Promise.all([receiving.waitFor(/runs here; its memory follows/), sending.waitFor(/its memory follows/)]);
    return { sending, receiving };
  }

  it("is lost for the source, which writes it as it left", async () => {
    const { sending, receiving } = await following();
    receiving.process.kill("SIGKILL");
    const { status, stderr, json } = await sending.done;
    expect(stderr).toContain("The machine is lost");
    expect(status).toBe(5);
    expect(json()).toMatchObject({ outcome: "lost", error: { code: "machine-lost" } });
    const files = readdirSync(join(folder, "salvaged")).sort();
    expect(files).toEqual(["memory.machine.json", "memory.ram.ram", "memory.state"]);
    expect(readFileSync(join(folder, "salvaged", "memory.ram.ram")).length).toBe(MEMORY_BYTES);
    expect(JSON.parse(readFileSync(join(folder, "salvaged", "memory.machine.json"), "utf8"))).toMatchObject({
      kind: "memory",
    });
  });

  it("is lost for the destination, which says so", async () => {
    const { sending, receiving } = await following();
    sending.process.kill("SIGKILL");
    const { status, stderr } = await receiving.done;
    expect(stderr).toContain("The machine memory is lost");
    expect(status).toBe(5);
  });

  it("is given up where the destination is interrupted twice", async () => {
    const { sending, receiving } = await following();
    const said = new Promise((resolve) => receiving.process.stderr?.once("data", resolve));
    receiving.process.kill("SIGINT");
    expect(String(await said)).toContain("Interrupt again");
    receiving.process.kill("SIGINT");
    expect((await receiving.done).status).toBe(5);
    expect((await sending.done).status).toBe(5);
  });
});
