import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "./require.js";

const ip = process.getuid?.() === 0 ? findProgram("ip") : undefined;

/** A network of its own, from which nothing leads out: one Ethernet link with an address and a default route, and loopback. */
export class NetworkNamespace {
  readonly name: string = `pageferry-${randomBytes(4).toString("hex")}`;
  readonly #folder: string = mkdtempSync(join(tmpdir(), "pageferry-namespace-"));

  constructor() {
    run("netns", "add", this.name);
    try {
      this.#ip("link", "set", "lo", "up");
      this.#ip("link", "add", "near", "type", "veth", "peer", "name", "far");
      this.#ip("address", "add", "10.99.0.1/24", "dev", "near");
      for (const end of ["near", "far"]) this.#ip("link", "set", end, "up");
      this.#ip("route", "add", "default", "via", "10.99.0.2");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The path of a script that starts a program in here, with the arguments it is given. */
  wrapper(program: string): string {
    const path = join(this.#folder, "run");
    writeFileSync(path, `#!/bin/sh\nexec "${ip}" netns exec "${this.name}" "${program}" "$@"\n`);
    chmodSync(path, 0o700);
    return path;
  }

  /** To be called when everything that ran in here has ended. */
  close(): void {
    run("netns", "delete", this.name);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #ip(...words: string[]): void {
    run("-n", this.name, ...words);
  }
}

function run(...words: string[]): void {
  execFileSync(ip as string, words, { stdio: "pipe" });
}

/** Containers may forbid it to their root. */
function canAdd(): boolean {
  try {
    new NetworkNamespace().close();
    return true;
  } catch (error) {
    if (process.env["PAGEFERRY_REQUIRE"] === "all") throw error;
    return false;
  }
}

/** Whether a network namespace can be made: by root, with iproute2. Under PAGEFERRY_REQUIRE=all it must. */
export const canMakeNamespace: boolean = ip !== undefined && canAdd();
