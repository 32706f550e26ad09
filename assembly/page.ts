/** The page sizes that every kernel takes: powers of two from 1 KiB to 64 KiB. */
@inline export function isPageSize(pageBytes: u32): bool {
  return pageBytes >= 1024 && pageBytes <= 65536 && (pageBytes & (pageBytes - 1)) == 0;
}

/** Where page number `page` of a region starts; 64-bit so that debug builds notice a wrap at 4 GiB. */
@inline export function pageAt(region: usize, page: u32, pageBytes: u32): usize {
  assert(<u64>region + (<u64>page + 1) * pageBytes <= <u64>memory.size() << 16);
  return region + <usize>page * pageBytes;
}

/** Debug builds: `bytes` bytes from `pointer` lie inside the memory. */
@inline export function isInside(pointer: usize, bytes: u64): bool {
  return <u64>pointer + bytes <= <u64>memory.size() << 16;
}

/** Bitmaps are whole 64-bit words; bit i of the map is bit i % 8 of byte i / 8. */
@inline export function bitmapBytes(bitCount: u32): u64 {
  return ((<u64>bitCount + 63) >> 6) << 3;
}

/** Whether every one of `count` page numbers is below `pageCount`. */
export function arePagesBelow(pages: usize, count: u32, pageCount: u32): bool {
  let at = pages;
  for (let left = count; left != 0; left--) {
    if (load<u32>(at) >= pageCount) return false;
    at += 4;
  }
  return true;
}

/**
 * Scans go through a group of pages several at a time: page number `page` of the group's first part, and its partners `distance`
 * pages and more behind it, in the other parts. Processors fetch ahead for each run of reads by itself, so several runs bring
 * more bytes a second from memory than one does. A page whose partner is beyond the group is its own partner.
 */
@inline export function partnerOf(page: u32, distance: u32, group: u32): u32 {
  const partner = page + distance;
  return partner < group ? partner : page;
}
