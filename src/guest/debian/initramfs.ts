import { GuestError } from "../errors.js";

/** A file, folder, link or character device of an initramfs. */
export interface InitramfsEntry {
  /** Without a leading slash. Folders stand before what they hold. */
  readonly path: string;
  /** File type and permissions, as in `stat`: 0o100755 is a program, 0o040755 a folder. */
  readonly mode: number;
  readonly content?: Uint8Array;
}

const HEADER_BYTES = 110;
/** The kernel unpacks in pieces of its own size; 512 is what `cpio` pads to. */
const BLOCK_BYTES = 512;

/**
 * An archive in cpio's "newc" format, which Linux takes as an initramfs: all owned by root, all of time 0, so that equal entries give equal
 * bytes. Format: `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel. Throws `argument`.
 */
export function packInitramfs(entries: readonly InitramfsEntry[]): Uint8Array {
  const all = [...entries, { path: "TRAILER!!!", mode: 0 }];
  const names = all.map(({ path }) => new TextEncoder().encode(`${path}\0`));
  const sizes = all.map(({ content }, index) => {
    const nameBytes = (names[index] as Uint8Array).length;
    return align(HEADER_BYTES + nameBytes, 4) + align(content?.length ?? 0, 4);
  });
  const archive = new Uint8Array(
    align(
      sizes.reduce((sum, size) => sum + size, 0),
      BLOCK_BYTES,
    ),
  );
  let at = 0;
  for (const [index, { path, mode, content }] of all.entries()) {
    if (path.startsWith("/") || path.includes("\0") || path === "") {
      throw new GuestError("argument", `An initramfs cannot hold a file named ${JSON.stringify(path)}.`);
    }
    const name = names[index] as Uint8Array;
    const inode = index + 1;
    const links = 1;
    const fields = [inode, mode, 0, 0, links, 0, content?.length ?? 0, 0, 0, 0, 0, name.length, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    archive.set(new TextEncoder().encode(header), at);
    archive.set(name, at + HEADER_BYTES);
    if (content !== undefined) archive.set(content, at + align(HEADER_BYTES + name.length, 4));
    at += sizes[index] as number;
  }
  return archive;
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
