import { describe, expect, it } from "vitest";
import { parseSize, privateBackends } from "../../../src/guest/qemu/backends.js";
import type { QmpClient } from "../../../src/guest/qemu/qmp.js";
import { findRamFiles } from "../../../src/guest/qemu/ram.js";

const MiB = 1 << 20;
const unfit = expect.objectContaining({ name: "GuestError", code: "machine-unfit" });

describe("the memory backends of a command line", () => {
  it.each([
    ["memory-backend-file,id=mem0,size=512M,mem-path=/dev/shm/db,share=off", "/dev/shm/db"],
    ["memory-backend-file,id=mem0,size=512M,mem-path=/dev/shm/db", "/dev/shm/db"],
    ["qom-type=memory-backend-file,id=mem0,mem-path=/a,,b=c,size=536870912", "/a,b=c"],
    ["memory-backend-file,mem-path=/x,,,id=mem0,size=0.5G", "/x,"],
    [
      '{"qom-type":"memory-backend-file","id":"mem0","size":536870912,"mem-path":"/dev/shm/db","share":false}',
      "/dev/shm/db",
    ],
  ])("is private: %s", (object, path) => {
    const found = privateBackends(["qemu", "-m", "512M", "-object", object, "-nodefaults"]);
    expect(found).toEqual([{ name: "mem0", path, byteLength: 512 * MiB }]);
  });

  it.each([
    "memory-backend-file,id=mem0,size=512M,mem-path=/dev/shm/db,share=on",
    "memory-backend-file,id=mem0,size=512M,mem-path=/dev/shm/db,readonly=on",
    "memory-backend-ram,id=mem0,size=512M",
    "rng-random,id=rng0",
    '{"qom-type":"memory-backend-file","id":"mem0","size":1,"mem-path":"/a","share":true}',
    "{not json",
    "",
  ])("is none of ours: %s", (object) => {
    expect(privateBackends(["qemu", "-object", object])).toEqual([]);
    expect(privateBackends(["qemu", "-object"])).toEqual([]);
  });

  it("are of one sort", () => {
    const backend = (id: string, share: string) => [
      "-object",
      `memory-backend-file,id=${id},size=1M,mem-path=/${id},share=${share}`,
    ];
    expect(privateBackends(["qemu", ...backend("a", "off"), ...backend("b", "off")]).length).toBe(2);
    expect(() => privateBackends(["qemu", ...backend("a", "off"), ...backend("b", "on")])).toThrow(unfit);
  });

  it.each([
    "memory-backend-file,id=mem0,size=512M",
    "memory-backend-file,size=1M,mem-path=/a",
    "memory-backend-file,id=a,size=x,mem-path=/a",
  ])("lacks something: %s", (object) => {
    expect(() => privateBackends(["qemu", "-object", object])).toThrow(unfit);
  });

  it("have sizes as QEMU writes them", () => {
    expect(["4096", "1k", "1.5M", "2G", 8192].map(parseSize)).toEqual([4096, 1024, 1.5 * MiB, 2 * 1024 * MiB, 8192]);
    for (const size of ["", "0", "-1", "1X", "1MM", "9999999E", "1e3", undefined, null])
      expect(parseSize(size)).toBeUndefined();
  });
});

/** A QEMU with these memory backends. */
function qemuWith(...backends: readonly { id: string; path: string; share: boolean }[]): QmpClient {
  const answers: Record<string, (named: Record<string, string>) => unknown> = {
    "query-memdev": () => backends.map(({ id, share }) => ({ id, share, size: MiB })),
    "qom-list": () => backends.map(({ id }) => ({ name: id, type: "child<memory-backend-file>" })),
    "qom-get": ({ path, property }) =>
      property === "readonly" ? false : backends.find(({ id }) => path === `/objects/${id}`)?.path,
    "query-memory-size-summary": () => ({ "base-memory": backends.length * MiB }),
  };
  const execute = async (command: string, named = {}): Promise<unknown> => answers[command]?.(named);
  return { execute } as unknown as QmpClient;
}

describe("memory files of a QEMU", () => {
  const served = ["/one", "/two"];
  const one = { id: "a", path: "/one", share: false };

  it("are those that are served, all of them, and private", async () => {
    const found = await findRamFiles(qemuWith(one, { id: "b", path: "/../two", share: false }), served);
    expect(found.map(({ name, path }) => [name, path])).toEqual([
      ["a", "/one"],
      ["b", "/two"],
    ]);
    await expect(findRamFiles(qemuWith(one, { id: "b", path: "/other", share: false }), served)).rejects.toEqual(unfit);
    await expect(findRamFiles(qemuWith({ ...one, share: true }), served)).rejects.toEqual(unfit);
  });

  it("are shared where none are served", async () => {
    await expect(findRamFiles(qemuWith(one))).rejects.toEqual(unfit);
    expect((await findRamFiles(qemuWith({ ...one, share: true }))).length).toBe(1);
  });
});
