import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type * as X509 from "@peculiar/x509";
import { checkNumber } from "./check.js";
import { TransportError } from "./errors.js";

/** What a host proves with who it is, and knows the others by. All PEM. */
export interface Credentials {
  readonly certificate: string;
  /** The private key (PKCS #8, not encrypted): whoever has it is this host. */
  readonly key: string;
  /** The certificate of the authority that all hosts' certificates must come from. */
  readonly authority: string;
}

/** Options of {@link createCredentials}. */
export interface CredentialOptions {
  /** How long they are valid, in days. Default: 365. */
  readonly days?: number;
}

const FILES = { certificate: "certificate.pem", key: "key.pem", authority: "authority.pem" } as const;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Hosts' clocks may differ by so much. */
const CLOCK_SKEW_MS = 60 * 60 * 1000;
const MAX_NAME_LENGTH = 63;

/**
 * Credentials for each of these hosts, under an authority of their own: certificates (X.509, RFC 5280; EC P-256) for serving and connecting,
 * valid for the host's name and for localhost. The authority's private key is thrown away: so nobody can steal it to add a host, and a host
 * is added by making all credentials anew. Throws `argument` where a name is no host name or IPv4 address, or comes twice.
 */
export async function createCredentials(
  names: readonly string[],
  { days = 365 }: CredentialOptions = {},
): Promise<Record<string, Credentials>> {
  for (const name of names) checkName(name);
  if (new Set(names).size !== names.length)
    throw new TransportError("argument", "Each host's name must come once only.");
  checkNumber("days", days, 1, 36_500);
  const issuer = await Issuer.create(days);
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await issuer.issue(name)] as const)));
}

/**
 * Writes `FOLDER/NAME/{certificate.pem,key.pem,authority.pem}` for each host; the keys are readable by the owner only. Throws `credentials`,
 * and leaves everything as it was, where one of these hosts has a folder already or it cannot be written.
 */
export async function writeCredentials(
  folder: string,
  credentials: Readonly<Record<string, Credentials>>,
): Promise<void> {
  for (const name of Object.keys(credentials)) checkName(name);
  const made: string[] = [];
  try {
    await mkdir(folder, { recursive: true });
    for (const [name, parts] of Object.entries(credentials)) {
      const place = join(folder, name);
      await mkdir(place, { mode: 0o700 });
      made.push(place);
      for (const part of ["certificate", "key", "authority"] as const) {
        const mode = part === "key" ? 0o600 : 0o644;
        await writeFile(join(place, FILES[part]), parts[part], { mode, flag: "wx" });
      }
    }
  } catch (cause) {
    await Promise.all(made.map((place) => rm(place, { recursive: true, force: true })));
    const { code, path } = cause as NodeJS.ErrnoException;
    const message =
      code === "EEXIST"
        ? `${path} is there already, and credentials are never overwritten. Choose another folder, or remove it first.`
        : `The credentials cannot be written into ${folder} (${code ?? cause}).`;
    throw new TransportError("credentials", message, { cause });
  }
}

/** Reads one host's credentials, `FOLDER/{certificate.pem,key.pem,authority.pem}`. Throws `credentials` where they are no credentials. */
export async function readCredentials(folder: string): Promise<Credentials> {
  const read = async (name: string): Promise<string> => {
    try {
      return await readFile(join(folder, name), "utf8");
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const message = `${join(folder, name)} cannot be read (${code}). Give the folder of one host's credentials.`;
      throw new TransportError("credentials", message, { cause });
    }
  };
  const credentials = {
    certificate: await read(FILES.certificate),
    key: await read(FILES.key),
    authority: await read(FILES.authority),
  };
  checkCredentials(credentials);
  return credentials;
}

/** Throws `credentials` unless these are PEM and the key belongs to the certificate. */
export function checkCredentials({ certificate, key, authority }: Credentials): void {
  parse("The authority is no certificate (PEM).", () => new X509Certificate(authority));
  const own = parse("The certificate is none (PEM).", () => new X509Certificate(certificate));
  const ownKey = parse("The key is no unencrypted private key (PEM).", () => createPrivateKey(key));
  if (!own.checkPrivateKey(ownKey)) {
    throw new TransportError("credentials", "The key does not belong to the certificate. Take both from one set.");
  }
}

function parse<Value>(message: string, call: () => Value): Value {
  try {
    return call();
  } catch (cause) {
    throw new TransportError("credentials", message, { cause });
  }
}

function checkName(name: string): void {
  if (name.length > MAX_NAME_LENGTH || !/^[a-z0-9]+(?:[.-]+[a-z0-9]+)*$/i.test(name) || name.includes("..")) {
    throw new TransportError("argument", `${JSON.stringify(name)} is no host name or IPv4 address.`);
  }
}

class Issuer {
  readonly #x509: typeof X509;
  readonly #certificate: X509.X509Certificate;
  readonly #keys: CryptoKeyPair;

  private constructor(x509: typeof X509, certificate: X509.X509Certificate, keys: CryptoKeyPair) {
    this.#x509 = x509;
    this.#certificate = certificate;
    this.#keys = keys;
  }

  static async create(days: number): Promise<Issuer> {
    // Loaded only here: it takes its time, and its polyfill changes the global Reflect.
    await import("reflect-metadata");
    const x509 = await import("@peculiar/x509");
    const keys = await generateKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: [{ CN: ["pageferry authority"] }],
      notBefore: new Date(Date.now() - CLOCK_SKEW_MS),
      notAfter: new Date(Date.now() + days * DAY_MS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new Issuer(x509, certificate, keys);
  }

  async issue(name: string): Promise<Credentials> {
    const x509 = this.#x509;
    const keys = await generateKeys();
    const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
    const certificate = await x509.X509CertificateGenerator.create({
      subject: [{ CN: [name] }],
      issuer: this.#certificate.subject,
      notBefore: this.#certificate.notBefore,
      notAfter: this.#certificate.notAfter,
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([serverAuth, clientAuth]),
        new x509.SubjectAlternativeNameExtension([
          { type: isIP(name) === 0 ? "dns" : "ip", value: name },
          { type: "dns", value: "localhost" },
          { type: "ip", value: "127.0.0.1" },
          { type: "ip", value: "::1" },
        ]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey),
      ],
    });
    const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
    return {
      certificate: `${certificate.toString("pem")}\n`,
      key: `${x509.PemConverter.encode(key, x509.PemConverter.PrivateKeyTag)}\n`,
      authority: `${this.#certificate.toString("pem")}\n`,
    };
  }
}

function generateKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}
