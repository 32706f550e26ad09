import type { GuestErrorCode } from "../../errors.js";

/** What the thread that reads a chain is started with. */
export interface ChainThreadData {
  readonly basePath: string;
  readonly patchPaths: readonly string[];
  /** Pages that take more reads than these are decoded before anybody reads them. */
  readonly mostReads: number;
}

/** Asks for leaves that follow each other to be decoded. */
export interface DecodeOrder {
  readonly order: number;
  readonly firstLeaf: number;
  readonly leafCount: number;
}

/** What the thread says. */
export type ChainThreadMessage =
  /** The chain is in order; of what it will be. */
  | {
      readonly kind: "opened";
      readonly byteLength: number;
      readonly pageBytes: number;
      readonly states: Uint8Array<SharedArrayBuffer>;
      readonly spillDescriptor: number;
      /** Of the base file: {@link ImageFile.identity}. */
      readonly baseIdentity: string;
    }
  | { readonly kind: "decoded"; readonly order: number }
  | { readonly kind: "notice"; readonly sentence: string }
  /** All pages that patches change have been decoded. */
  | { readonly kind: "settled" }
  | { readonly kind: "failed"; readonly code: GuestErrorCode; readonly message: string };
