import { KernelError } from "./errors.js";

/** The page sizes that the kernels take. */
export const MIN_PAGE_BYTES = 1024;
export const MAX_PAGE_BYTES = 65536;

/** Throws unless `value` is a whole number from `minimum` to `maximum`. */
export function checkWhole(name: string, value: number, minimum = 0, maximum = 0xffff_ffff): void {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new KernelError("argument", `${name} must be a whole number from ${minimum} to ${maximum}, not ${value}.`);
  }
}

/** Throws unless `pageBytes` is a power of two from 1 KiB to 64 KiB. */
export function checkPageBytes(pageBytes: number): void {
  checkWhole("pageBytes", pageBytes, MIN_PAGE_BYTES, MAX_PAGE_BYTES);
  if ((pageBytes & (pageBytes - 1)) !== 0) {
    throw new KernelError("argument", `pageBytes must be a power of two, not ${pageBytes}.`);
  }
}
