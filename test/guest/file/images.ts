import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Random } from "../../support/random.js";

export const PAGE_BYTES = 4096;

/** A folder of a test's own. */
export class ImageFolder {
  readonly path: string = mkdtempSync(join(tmpdir(), "pageferry-images-"));

  at(name: string): string {
    return join(this.path, name);
  }

  write(name: string, bytes: Uint8Array): string {
    writeFileSync(this.at(name), bytes);
    return this.at(name);
  }

  read(name: string): Uint8Array {
    return new Uint8Array(readFileSync(this.at(name)));
  }

  /** All that is there, files with a dot too. */
  names(): string[] {
    return readdirSync(this.path).sort();
  }

  /** What a file takes on the disk. */
  diskBytes(name: string): number {
    return statSync(this.at(name)).blocks * 512;
  }

  empty(): void {
    for (const name of this.names()) rmSync(this.at(name));
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}

/** Pages as a machine has them: zero, filled, equal to another, and of their own. */
export function imageOf(random: Random, byteLength: number): Uint8Array {
  const image = new Uint8Array(byteLength);
  const shared = random.memoryLike(PAGE_BYTES);
  for (let at = 0; at < byteLength; at += PAGE_BYTES) {
    const page = image.subarray(at, at + PAGE_BYTES);
    const kind = random.below(5);
    if (kind === 0) page.fill(1 + random.below(255));
    if (kind === 1) page.set(shared.subarray(0, page.length));
    if (kind >= 3) page.set(random.memoryLike(page.length));
  }
  return image;
}

/** What became of an image: some pages changed a little, some cleared, some moved, some new; grown or cut to `byteLength`. */
export function successorOf(random: Random, image: Uint8Array, byteLength: number): Uint8Array {
  const next = new Uint8Array(byteLength);
  next.set(image.subarray(0, byteLength));
  next.set(imageOf(random, Math.max(0, byteLength - image.length)), Math.min(image.length, byteLength));
  const pages = Math.ceil(byteLength / PAGE_BYTES);
  for (let change = random.below(pages + 1); change > 0; change--) {
    const at = random.below(pages) * PAGE_BYTES;
    const page = next.subarray(at, at + PAGE_BYTES);
    const kind = random.below(6);
    if (kind < 3) random.change(page, 1 + random.below(20), 40);
    if (kind === 3) page.fill(0);
    if (kind === 4) page.set(random.bytes(page.length));
    if (kind === 5) {
      const from = random.below(Math.ceil(image.length / PAGE_BYTES) + 1) * PAGE_BYTES;
      page.set(image.subarray(from, Math.min(image.length, from + page.length)));
    }
  }
  return next;
}
