import { createPrivateKey, X509Certificate } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createCredentials, readCredentials, writeCredentials } from "../../src/transport/credentials.js";
import { hosts } from "./ends.js";

const coded = (code: string, words = ""): unknown =>
  expect.objectContaining({ name: "TransportError", code, message: expect.stringContaining(words) });

describe("createCredentials", () => {
  it("gives each host a certificate of one authority, for serving and connecting, in its name and localhost's", async () => {
    const all = await createCredentials(["source", "destination.example", "10.0.0.7"], { days: 10 });
    expect(Object.keys(all)).toEqual(["source", "destination.example", "10.0.0.7"]);
    expect(new Set(Object.values(all).map(({ authority }) => authority)).size).toBe(1);
    expect(new Set(Object.values(all).map(({ key }) => key)).size).toBe(3);
    for (const [name, credentials] of Object.entries(all)) {
      const authority = new X509Certificate(credentials.authority);
      const certificate = new X509Certificate(credentials.certificate);
      expect(authority.ca).toBe(true);
      expect(authority.verify(authority.publicKey)).toBe(true);
      expect(certificate.ca).toBe(false);
      expect(certificate.verify(authority.publicKey)).toBe(true);
      expect(certificate.checkIssued(authority)).toBe(true);
      expect(certificate.checkPrivateKey(createPrivateKey(credentials.key))).toBe(true);
      expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
      expect(certificate.subject).toBe(`CN=${name}`);
      const own = name === "10.0.0.7" ? `IP Address:${name}` : `DNS:${name}`;
      expect(certificate.subjectAltName).toBe(
        `${own}, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1`,
      );
      expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
      const days = (Date.parse(certificate.validTo) - Date.now()) / 86_400_000;
      expect(Math.round(days)).toBe(10);
      expect(Date.parse(certificate.validFrom)).toBeLessThan(Date.now() - 60_000);
    }
  });

  it("refuses names that are none, among them whatever leads out of a folder", async () => {
    const long = "a".repeat(64);
    for (const name of [
      "",
      ".",
      "..",
      "../up",
      "a/b",
      "a\\b",
      "a b",
      "-a",
      "a.",
      "a..b",
      "a\nb",
      "a\0",
      "::1",
      "ä",
      long,
    ]) {
      await expect(createCredentials([name]), name).rejects.toEqual(coded("argument"));
      await expect(writeCredentials("/nonexistent", { [name]: await source() }), name).rejects.toEqual(
        coded("argument"),
      );
    }
    await expect(createCredentials(["a", "a"])).rejects.toEqual(coded("argument", "once"));
    await expect(createCredentials(["a"], { days: 0 })).rejects.toEqual(coded("argument", "days"));
  });
});

const source = async () => (await hosts()).source;

describe("the folder of credentials", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "pageferry-credentials-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("holds each host's three files, the keys for the owner only, and reads back the same", async () => {
    const all = { ...(await hosts()) };
    await writeCredentials(join(folder, "new"), all);
    expect((await readdir(join(folder, "new"))).sort()).toEqual(["destination", "source"]);
    for (const name of ["source", "destination"] as const) {
      const place = join(folder, "new", name);
      expect((await readdir(place)).sort()).toEqual(["authority.pem", "certificate.pem", "key.pem"]);
      expect((await stat(join(place, "key.pem"))).mode & 0o777).toBe(0o600);
      expect((await stat(place)).mode & 0o777).toBe(0o700);
      expect(await readCredentials(place)).toEqual(all[name]);
    }
  });

  it("overwrites nothing, and takes back what it wrote before it noticed", async () => {
    const { source, destination } = await hosts();
    await mkdir(join(folder, "source"));
    await writeFile(join(folder, "source", "key.pem"), "mine");
    await expect(writeCredentials(folder, { destination, source })).rejects.toEqual(
      coded("credentials", "never overwritten"),
    );
    expect(await readdir(folder)).toEqual(["source"]);
    expect(await readFile(join(folder, "source", "key.pem"), "utf8")).toBe("mine");
  });

  it("says which file is missing or wrong, and shows no key", async () => {
    const { source, destination } = await hosts();
    await writeCredentials(folder, { source });
    const place = join(folder, "source");
    const key = join(place, "key.pem");
    for (const [content, words] of [
      [destination.key, "does not belong"],
      [source.certificate, "private key"],
      ["", "private key"],
    ] as const) {
      await writeFile(key, content);
      const error = await readCredentials(place).catch((reason: Error) => reason);
      expect(error).toEqual(coded("credentials", words));
      expect(String(error)).not.toContain("PRIVATE");
    }
    await writeFile(join(place, "authority.pem"), "nothing");
    await expect(readCredentials(place)).rejects.toEqual(coded("credentials", "authority"));
    await rm(key);
    await expect(readCredentials(place)).rejects.toEqual(coded("credentials", "key.pem"));
    await chmod(place, 0o700);
  });
});
