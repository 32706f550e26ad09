import { expect, it } from "vitest";
import { decodeConfirmation, encodeConfirmation } from "../../src/wire/confirmation.js";
import { toHex } from "../support/bytes.js";

it("a confirmation is a number of 64 bits, and no other length is one", () => {
  const bytes = 2 ** 40 + 5;
  const body = encodeConfirmation(bytes);
  expect(toHex(body)).toBe("0500000000010000");
  expect(decodeConfirmation(body)).toBe(bytes);
  for (const length of [0, 7, 9, 24]) {
    expect(() => decodeConfirmation(new Uint8Array(length))).toThrow(
      expect.objectContaining({ code: "message-malformed" }),
    );
  }
});
