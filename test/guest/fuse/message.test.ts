import { describe, expect, it } from "vitest";
import {
  decodeRequest,
  encodeAttributes,
  encodeHeader,
  encodeInit,
  encodeOpen,
  encodeSpace,
  encodeStore,
} from "../../../src/guest/fuse/message.js";
import { toHex } from "../../support/bytes.js";
import { request } from "../../support/fuse-requests.js";

describe("requests of FUSE", () => {
  it("are decoded", () => {
    expect(decodeRequest(request("INIT"))).toEqual({
      unique: 0x1122334455667788n,
      kind: "init",
      major: 7,
      minor: 45,
      readAheadBytes: 131072,
    });
    expect(decodeRequest(request("READ"))).toMatchObject({ kind: "read", offset: 0x1_2345_6000, byteLength: 65536 });
    expect(decodeRequest(request("SETATTR"))).toMatchObject({ kind: "change", byteLength: 0x1000_0000 });
    expect(decodeRequest(request("SETATTR of the time"))).toMatchObject({ kind: "change", byteLength: undefined });
    expect(decodeRequest(request("GETATTR"))).toMatchObject({ kind: "attributes" });
    expect(decodeRequest(request("BATCH_FORGET"))).toMatchObject({ kind: "silent" });
    expect(decodeRequest(request("IOCTL"))).toMatchObject({ kind: "unknown" });
  });

  it("that are cut short are malformed, and without a header nothing", () => {
    const whole = request("READ");
    for (let length = 40; length < whole.length; length++) {
      expect(decodeRequest(whole.subarray(0, length))).toMatchObject({ kind: "malformed" });
    }
    for (let length = 0; length < 40; length++) expect(decodeRequest(whole.subarray(0, length))).toBeUndefined();
    const short = whole.slice(0, 59);
    short[0] = 59;
    expect(decodeRequest(short)).toMatchObject({ kind: "malformed" });
  });

  it("for more than a number can say are malformed", () => {
    const far = request("READ");
    far[55] = 0x7f;
    expect(decodeRequest(far)).toMatchObject({ kind: "malformed" });
  });
});

describe("answers of FUSE", () => {
  it("have their layout", () => {
    expect(toHex(encodeHeader(0x1122334455667788n, 4))).toBe("14000000000000008877665544332211");
    expect(toHex(encodeHeader(1n, 0, 5))).toBe("10000000fbffffff0100000000000000");
    expect(toHex(encodeInit(45, 65536, 16))).toBe(
      `${"07000000260000000000010021004000"}${"80008000001000000100000010000000"}${"00".repeat(32)}`,
    );
    expect(toHex(encodeInit(31, 4096, 256))).toBe(
      `${"070000001f0000000010000021004000"}${"80008000001000000100000000010000"}${"00".repeat(32)}`,
    );
    const attributes = { byteLength: 0x1_0000_1001, mode: 0o640, uid: 258, gid: 3, seconds: 0x65000000 };
    expect(toHex(encodeAttributes(attributes))).toBe(
      "8033e101000000000000000000000000" +
        "0100000000000000" +
        "0110000001000000" +
        "0900800000000000" +
        "0000006500000000".repeat(3) +
        "00000000".repeat(3) +
        "a0810000" +
        "01000000" +
        "02010000" +
        "03000000" +
        "0000000000100000" +
        "00000000",
    );
    expect(toHex(encodeOpen())).toBe("00000000000000000200000000000000");
    expect(toHex(encodeSpace(8193))).toBe(
      `03000000000000000000000000000000000000000000000001000000000000000000000000000000${"00100000ff00000000100000"}${"00".repeat(28)}`,
    );
    expect(toHex(encodeStore(0x1_0000_2000, 4096))).toBe(
      "28100000040000000000000000000000" + "0100000000000000" + "0020000001000000" + "0010000000000000",
    );
  });
});
