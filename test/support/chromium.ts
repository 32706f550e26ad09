import { type Browser, chromium, type LaunchOptions } from "playwright";
import { findProgram } from "./require.js";

/** Where Chromium is installed; undefined where it is not. */
export const chromiumPath: string | undefined = findProgram("chromium", "chromium-browser", "google-chrome");

/** What it is started with: it asks nobody for anything, and takes no GPU. */
export const chromiumArguments: readonly string[] = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts the installed Chromium without a window; `args` are added to its own. Whoever calls closes it. */
export function launchChromium({ args = [], ...options }: LaunchOptions = {}): Promise<Browser> {
  if (chromiumPath === undefined)
    throw new Error("Chromium is not installed; skip the test where chromiumPath is undefined.");
  return chromium.launch({
    executablePath: chromiumPath,
    headless: true,
    args: [...chromiumArguments, ...args],
    ...options,
  });
}
