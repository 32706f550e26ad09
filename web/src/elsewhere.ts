import type { Connection } from "pageferry";

/** What opens connections to elsewhere; the library does not export it yet. */
const missing = (): Promise<never> => Promise.reject(new Error("This build cannot reach other places yet."));

export const openTabConnection: (name: string, options: { readonly timeoutMs: number }) => Promise<Connection> =
  missing;
export const offerConnection: () => Promise<{
  readonly code: string;
  accept(answer: string): Promise<Connection>;
  cancel(): void;
}> = missing;
export const answerOffer: (code: string) => Promise<{
  readonly code: string;
  readonly connection: Promise<Connection>;
}> = missing;
export const connectWebSocket: (url: string, options: { readonly token?: string }) => Promise<Connection> = missing;
