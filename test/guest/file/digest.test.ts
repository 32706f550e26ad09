import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { ImageDigest } from "../../../src/guest/file/digest.js";
import { type Sha256, sha256, webSha256 } from "../../../src/guest/file/sha256.js";
import { LEAF_BYTES } from "../../../src/guest/file/source.js";
import { Random } from "../../support/random.js";

const PROVIDERS: readonly (readonly [string, Sha256])[] = [
  ["node:crypto", sha256()],
  ["WebCrypto", webSha256],
];

it.each(PROVIDERS)("%s makes the digest of leaves, zeros and leaves that are known", async (_, provider) => {
  const [leaf, other, zeros] = [
    new Random(1).bytes(LEAF_BYTES),
    new Random(2).bytes(LEAF_BYTES),
    new Uint8Array(LEAF_BYTES),
  ];
  const digest = new ImageDigest(5 * LEAF_BYTES, provider);
  const changing = leaf.slice();
  const known = digest.add(changing);
  // The bytes are the caller's again.
  changing.fill(0);
  digest.addZeros();
  digest.add(zeros);
  digest.addDigest(known);
  digest.add(other);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(5 * LEAF_BYTES));
  const root = createHash("sha256").update("pageferry image 1\n").update(length);
  for (const each of [leaf, zeros, zeros, leaf, other]) root.update(createHash("sha256").update(each).digest());
  expect(await digest.finish()).toBe(root.digest("hex"));
});
