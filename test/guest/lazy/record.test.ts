import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeRecord, encodeTrouble, RecordKind, RecordParser } from "../../../src/guest/lazy/record.js";
import { toHex } from "../../support/bytes.js";

describe("records between a machine's receiver and the one who serves its memory", () => {
  it("have their layout", () => {
    expect(toHex(encodeRecord(RecordKind.fault, 2, 0x01020304, 5))).toBe("11000000020000000403020105000000");
    expect(toHex(encodeTrouble("é!"))).toBe("13000000000000000000000003000000c3a921");
  });

  it("come whole, wherever their chunks are cut", () => {
    const numbers = fc.nat(2 ** 32 - 1);
    const record = fc.record({
      kind: fc.constantFrom(1, 2, 3, 16, 17, 18),
      file: numbers,
      firstPage: numbers,
      pageCount: numbers,
    });
    const trouble = fc.string({ unit: "grapheme", maxLength: 30 });
    fc.assert(
      fc.property(fc.array(fc.oneof(record, trouble)), fc.array(fc.integer({ min: 1, max: 40 })), (sent, cuts) => {
        const bytes = Buffer.concat(
          sent.map((one) =>
            typeof one === "string"
              ? encodeTrouble(one)
              : encodeRecord(one.kind, one.file, one.firstPage, one.pageCount),
          ),
        );
        const parser = new RecordParser();
        const came: unknown[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          for (const got of parser.push(bytes.subarray(at, at + cut))) came.push(got.text ?? got);
          at += cut;
        }
        expect(came).toEqual(sent);
      }),
    );
  });
});
