import type { TestContext } from "vitest";
import { GuestError } from "../../src/guest/errors.js";
import { type DemoGuest, startDemoGuest } from "../../src/guest/v86/image.js";

/** The demo guest; the test is skipped where its images cannot be had, unless everything is required. */
export async function startedOrSkipped(context: TestContext): Promise<DemoGuest> {
  try {
    return await startDemoGuest({ onProgress: (line) => console.log(line) });
  } catch (error) {
    const isMissing = error instanceof GuestError && (error.code === "missing-program" || error.code === "image");
    if (isMissing && process.env["PAGEFERRY_REQUIRE"] !== "all") context.skip(error.message);
    throw error;
  }
}
