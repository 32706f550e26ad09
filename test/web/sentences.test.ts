import { describe, expect, it } from "vitest";
import { sentenceOf } from "../../web/src/sentences.js";

const failure = (code: string, message: string): Error => Object.assign(new Error(message), { code });

describe("sentences for what goes wrong", () => {
  it("a cut link: what happened, and what becomes of the machine", () => {
    expect(sentenceOf(failure("connection-lost", "The connection was aborted."), "goes-on")).toBe(
      "The link was cut. Nothing is lost: the machine goes on where it was.",
    );
  });

  it("a lost connection is told by what was at its other end", () => {
    const lost = failure("connection-lost", "The connection was lost.");
    expect(sentenceOf(lost, "goes-on", "tab")).toMatch(
      /^The other tab was closed, or the link to it was cut\. Nothing/,
    );
    expect(sentenceOf(lost, "goes-on", "computer")).toContain("The other computer has gone");
  });

  it("the error's own words stand beside the sentence where they tell more", () => {
    expect(sentenceOf(failure("refused", "It has 4 GB, and 1 GB is allowed."), "nothing")).toBe(
      "The other side does not take this machine. (It has 4 GB, and 1 GB is allowed)",
    );
  });

  it("and in its place where they begin alike", () => {
    const own = "The other side has failed: its guest did not start.";
    expect(sentenceOf(failure("peer-failed", own), "nothing")).toBe(own);
  });

  it("an unknown code gives the error's own message, as a sentence", () => {
    expect(sentenceOf(failure("new-in-version-9", "The moon is full"), "stays-there")).toBe(
      "The moon is full. The machine stays where it is.",
    );
    expect(sentenceOf("a text", "nothing")).toBe("a text.");
    expect(sentenceOf(new Error(""), "nothing")).toBe("Something failed, and does not say what.");
  });

  it.each([
    "cancelled",
    "content-differs",
    "guest-failed",
    "in-doubt",
    "machine-unfit",
    "memory-limit",
    "no-common-version",
    "simd-missing",
    "worker-failed",
  ])("%s has a sentence of its own", (code) => {
    expect(sentenceOf(failure(code, "?"), "nothing").length).toBeGreaterThan(20);
  });
});
