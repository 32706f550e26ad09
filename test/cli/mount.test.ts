import { execFile } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ImageFile } from "../../src/guest/file/image.js";
import { LeafCache } from "../../src/guest/file/leaf-cache.js";
import { LeafDigests } from "../../src/guest/file/leaf-digests.js";
import {
  BATCHES_AT,
  chainOf,
  forge,
  headerOf,
  hotImages,
  randomImages,
  type TestChain,
} from "../guest/file/chain/chains.js";
import { ImageFolder, PAGE_BYTES } from "../guest/file/images.js";
import { expectSameBytes } from "../support/bytes.js";
import { RunningCommand, runCommand } from "../support/command.js";
import { fuseMissing, Mapper, mountsAt } from "../support/fuse.js";
import { Random } from "../support/random.js";

const execute = promisify(execFile);
const reason = fuseMissing();
let folder: ImageFolder;
let running: RunningCommand[];

/** A mount that says that it is ready; a cache of its own, so that each test begins without one. */
async function mount(...sources: readonly string[]): Promise<RunningCommand> {
  const command = new RunningCommand(["mount", ...sources, folder.at("mounted")], {
    XDG_CACHE_HOME: folder.at("cache"),
  });
  running.push(command);
  await command.waitFor(/^ready: /m);
  return command;
}

function mountChain({ basePath, patchPaths }: TestChain, ...options: readonly string[]): Promise<RunningCommand> {
  return mount(...options, basePath, ...patchPaths);
}

async function end(command: RunningCommand, signal: NodeJS.Signals = "SIGTERM"): Promise<string> {
  command.process.kill(signal);
  const { status, stderr } = await command.done;
  expect(status, stderr).toBe(0);
  return stderr;
}

/** A page, or the error's code. */
async function pageAt(page: number): Promise<Uint8Array | string> {
  const file = await open(folder.at("mounted"), "r");
  try {
    const bytes = new Uint8Array(PAGE_BYTES);
    await file.read(bytes, 0, PAGE_BYTES, page * PAGE_BYTES);
    return bytes;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code as string;
  } finally {
    await file.close();
  }
}

describe.skipIf(reason !== undefined)(`pageferry mount (${reason ?? "available"})`, () => {
  let mapper: Mapper;
  beforeAll(async () => {
    mapper = await Mapper.compile();
  });
  afterAll(() => mapper.remove());
  beforeEach(() => {
    folder = new ImageFolder();
    running = [];
  });
  afterEach(async () => {
    for (const command of running) {
      command.process.kill("SIGTERM");
      await command.done;
    }
    expect(await mountsAt(folder.at("mounted"))).toBe(0);
    folder.remove();
  });

  it("gives what applying the patches in turn makes: with the base read before, and with what is known from then on", async () => {
    const chain = await chainOf(folder, randomImages(new Random(3), [3_000_000, 3_400_001, 2_900_000, 2_900_000]));
    const last = chain.images.at(-1) as Uint8Array;
    const first = await mountChain(chain);
    expectSameBytes(new Uint8Array(await readFile(folder.at("mounted"))), last);
    expect(await end(first, "SIGINT")).toMatch(
      /mounted with patches for the first time: all of it is read before\.\n$/,
    );
    const second = await mountChain(chain);
    expectSameBytes(new Uint8Array(await readFile(folder.at("mounted"))), last);
    expect(await end(second)).toBe("");
    expect(folder.names()).not.toContain("mounted");
  });

  it("gives an image without patches as it is, to whoever maps it privately", async () => {
    const image = new Random(1).memoryLike(30 * PAGE_BYTES);
    const command = await mount(folder.write("image", image));
    const offsets = [0, 7 * PAGE_BYTES + 5, 29 * PAGE_BYTES];
    const bytes = await mapper.touch(folder.at("mounted"), ...offsets);
    expect(bytes).toEqual(offsets.map((offset) => String(image[offset])));
    await end(command);
  });

  it("makes an I/O error of the pages that need what is damaged, and a line of each place", async () => {
    const images = hotImages(new Random(6), 64, 2, [20, 21]);
    const chain = await chainOf(folder, images);
    await end(await mountChain(chain));
    const patch = folder.read("patch-2");
    patch[BATCHES_AT + 20] = (patch[BATCHES_AT + 20] as number) ^ 1;
    folder.write("patch-2", patch);
    const base = folder.read("image-0");
    base[3 * PAGE_BYTES] = (base[3 * PAGE_BYTES] as number) ^ 1;
    folder.write("image-0", base);
    const command = await mountChain(chain);
    expect(await pageAt(20)).toBe("EIO");
    expect(await end(command)).toContain("patch-2 is damaged or none at all");

    const healthy = await mountChain({ ...chain, patchPaths: chain.patchPaths.slice(0, 1) });
    const found = await Promise.all([2, 3, 15, 16, 20, 40].map(pageAt));
    expect(found.slice(0, 3)).toEqual(["EIO", "EIO", "EIO"]);
    for (const [index, page] of [16, 20, 40].entries()) {
      const expected = (images[1] as Uint8Array).subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
      expectSameBytes(found[index + 3] as Uint8Array, expected);
    }
    expect((await mapper.touch(folder.at("mounted"), 3 * PAGE_BYTES, 20 * PAGE_BYTES))[0]).toBe("SIGBUS");
    const lines = (await end(healthy)).trimEnd().split("\n");
    expect(lines[0]).toMatch(
      /^pageferry: The pages 0 to 15 \(of 4096 bytes\) cannot be read: .*image-0 is not the image/,
    );
    expect(lines).toHaveLength(1);
  });

  it("lets nobody read what a forged patch makes, though all its checksums are right", async () => {
    const images = hotImages(new Random(6), 64, 1, [20, 21]);
    const chain = await chainOf(folder, images);
    const honest = folder.read("patch-1");
    const last = ImageFile.open(folder.at("image-1"));
    const leaves = await LeafDigests.compute(last, async () => {});
    last.close();
    await new LeafCache(folder.at("cache/pageferry/leaves")).keep(leaves);
    // What the digest of the whole promises is known from before: each part is compared.
    const other = (images[1] as Uint8Array).slice();
    new Random(9).change(other.subarray(20 * PAGE_BYTES, 22 * PAGE_BYTES), 3, 20);
    await chainOf(folder, [images[0] as Uint8Array, other]);
    folder.write("patch-1", await forge(folder.read("patch-1"), { next: headerOf(honest).next }));
    const command = await mountChain(chain);
    expect(await pageAt(20)).toBe("EIO");
    expect(await end(command)).toMatch(/The pages 16 to 31 .*it does not make what it promises there/);
    // Nothing is known of it: the whole is compared, in the background.
    const next = { byteLength: other.length, digest: "ab".repeat(32) };
    folder.write("patch-1", await forge(honest, { next }));
    const { status, stderr } = await (await mountChain(chain)).done;
    expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringContaining("it promises") });
  });

  it("ends when somebody else takes the mount away, and goes also from those who have it open", async () => {
    const chain = await chainOf(folder, hotImages(new Random(5), 40, 1, [3]));
    const command = await mountChain(chain);
    await execute("umount", [folder.at("mounted")]);
    const { status, stderr } = await command.done;
    expect({ status, stderr }).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("unmounted by somebody else"),
    });

    const open = await mountChain(chain);
    const holder = execFile("tail", ["-f", folder.at("mounted")]);
    await once(holder.stdout as NodeJS.ReadableStream, "data");
    await end(open);
    holder.kill();
  });

  it("refuses a chain that is none, before there is a file", async () => {
    const { basePath, patchPaths } = await chainOf(folder, hotImages(new Random(4), 20, 2, [5]));
    const [first, second] = patchPaths as [string, string];
    const file = folder.at("mounted");
    for (const [sources, sentence] of [
      [[basePath, second, first], /Patch 1 of 2 .* was made from another image|does not build on the one before it/],
      [[first, second], /is a patch itself; the image that it was made from goes first/],
      [[first], /is a patch; the image that it was made from goes first/],
      [[second.replace("patch-2", "image-1"), first], /was made from another image than/],
      [[basePath, basePath], /is damaged or none at all/],
    ] as const) {
      const { status, stderr } = await runCommand("mount", ...sources, file);
      expect(status).toBe(1);
      expect(stderr).toMatch(sentence);
      expect(folder.names()).not.toContain("mounted");
    }
    expect((await runCommand("mount", basePath)).status).toBe(2);
  });
});
