import { describe, expect, it } from "vitest";
import { Policy, type PolicyRule } from "../../src/cli/policy.js";
import type { ArrivalRequest } from "../../src/migration/arrival.js";

const MIB = 1 << 20;
const fingerprint = "ab".repeat(32);

function request(name: string, peerName: string | undefined, mebibytes = 1, kind = "file"): ArrivalRequest {
  return {
    machine: {
      name,
      kind,
      pageBytes: 4096,
      regions: [{ name: "ram", byteLength: mebibytes * MIB }],
      configuration: {},
    },
    peer: peerName === undefined ? undefined : { name: peerName, fingerprint },
  };
}

function policy(...rules: Partial<PolicyRule>[]): Policy {
  return new Policy(
    rules.map((rule) => ({ peer: "alpha", machine: "*", kind: "file", maxBytes: MIB, into: "/x", ...rule })),
  );
}

describe("a policy", () => {
  it("allows just what a rule says", () => {
    const rules = policy({ machine: "db-*" }, { peer: "beta", kind: "memory", maxBytes: 2 * MIB });
    expect(rules.decide(request("db-1", "alpha"))).toMatchObject({ peer: "alpha" });
    expect(rules.decide(request("db-", "alpha"))).toMatchObject({ peer: "alpha" });
    expect(rules.decide(request("web-1", "alpha"))).toEqual(expect.stringContaining("does not let alpha"));
    expect(rules.decide(request("xdb-1", "alpha"))).toEqual(expect.any(String));
    expect(rules.decide(request("db-1", "beta"))).toEqual(expect.any(String));
    expect(rules.decide(request("m", "beta", 2, "memory"))).toMatchObject({ peer: "beta" });
    expect(rules.decide(request("m", "beta", 3, "memory"))).toEqual(expect.stringContaining("less than"));
  });

  it("does not take a name for more than letters", () => {
    const rules = policy({ machine: "a.c" });
    expect(rules.decide(request("abc", "alpha"))).toEqual(expect.any(String));
    expect(rules.decide(request("a.c", "alpha"))).toMatchObject({ peer: "alpha" });
    expect(policy({ machine: "*" }).decide(request("two\nlines", "alpha"))).toMatchObject({ peer: "alpha" });
  });

  it("tells certificates apart where it is to, and knows nobody without one", () => {
    expect(policy({ fingerprint }).decide(request("m", "alpha"))).toMatchObject({ peer: "alpha" });
    expect(policy({ fingerprint: "cd".repeat(32) }).decide(request("m", "alpha"))).toEqual(expect.any(String));
    expect(policy({}).decide(request("m", undefined))).toEqual(expect.stringContaining("somebody unknown"));
    expect(policy({ peer: "*" }).decide(request("m", undefined))).toMatchObject({ peer: "*" });
  });

  it("allows nothing without rules", () => {
    expect(policy({}).maxBytes).toBe(MIB);
    expect(new Policy([]).maxBytes).toBe(0);
    expect(new Policy([]).decide(request("m", "alpha"))).toEqual(expect.any(String));
  });
});
