import { expect, it } from "vitest";
import { printable } from "../../src/wire/printable.js";

it("leaves no order to a terminal in a text, and every letter", () => {
  expect(printable("red \x1b[31m,\r\n\x00a bell\x07, C1 \x9b2J, DEL\x7f.")).toBe("red  [31m, a bell , C1  2J, DEL .");
  expect(printable("Grüße, 日本語 🖥")).toBe("Grüße, 日本語 🖥");
});
