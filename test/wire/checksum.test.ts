import { createXXHash64 } from "hash-wasm";
import { expect, it } from "vitest";
import { loadChecksum } from "../../src/wire/checksum.js";
import { Random } from "../support/random.js";

it("the checksum is XXH64, as another library has it, from any seed", async () => {
  const checksum = await loadChecksum();
  const random = new Random(1);
  for (let length = 0; length < 200; length++) {
    const bytes = random.bytes(length);
    const [low, high] = [random.below(2 ** 32), random.below(2 ** 32)];
    const other = await createXXHash64(low, high);
    expect(
      checksum(bytes, (BigInt(high) << 32n) | BigInt(low))
        .toString(16)
        .padStart(16, "0"),
    ).toBe(other.init().update(bytes).digest());
  }
  expect(checksum(new Uint8Array(0), 0n)).toBe(0xef46db3751d8e999n);
});
