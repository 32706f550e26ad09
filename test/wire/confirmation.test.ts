import { expect, it } from "vitest";
import { decodeConfirmation, encodeConfirmation } from "../../src/wire/confirmation.js";

it("a confirmation has three numbers of 64 bits, and no other length is one", () => {
  const confirmation = { bytes: 2 ** 40 + 5, streamedBytes: 258, streamedMicroseconds: 3 };
  const body = encodeConfirmation(confirmation);
  const golden = "05000000000100000201000000000000" + "0300000000000000";
  expect(Buffer.from(body).toString("hex")).toBe(golden);
  expect(decodeConfirmation(body)).toEqual(confirmation);
  for (const length of [0, 8, 23, 25]) {
    expect(() => decodeConfirmation(new Uint8Array(length))).toThrow(
      expect.objectContaining({ code: "message-malformed" }),
    );
  }
});
