/** Where the content of a mounted page is. */
export const PageState: {
  readonly unknown: 0;
  readonly base: 1;
  readonly decoded: 2;
  readonly failed: 3;
} = Object.freeze({
  unknown: 0,
  /** In the base, where it has been compared with its digest. */
  base: 1,
  /** In the file of decoded pages. */
  decoded: 2,
  /** Nowhere: something that it needs is damaged. */
  failed: 3,
});
export type PageState = (typeof PageState)[keyof typeof PageState];

/** The most pages of a mounted image, which take a byte each: 256 GiB. */
export const MAX_MOUNTED_PAGES: number = 2 ** 26;
