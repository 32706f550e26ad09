import { GuestError } from "../../src/guest/errors.js";
import { findProgram } from "../support/require.js";
import { labImages } from "./images.js";
import { QEMU } from "./plan.js";

const PROGRAMS = [QEMU, "gcc", "readelf", "setpriv", "apt-get", "apt-cache", "dpkg-deb"];

/**
 * Why the lab cannot run here; undefined where it can, and then everything but booted guests is in the cache. Throws instead under
 * PAGEFERRY_REQUIRE=all.
 */
export async function labUnavailable(withRedis = false): Promise<string | undefined> {
  const missing = PROGRAMS.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) return `not installed: ${missing.join(", ")}`;
  try {
    await labImages(withRedis);
    return undefined;
  } catch (error) {
    if (!(error instanceof GuestError) || process.env["PAGEFERRY_REQUIRE"] === "all") throw error;
    return error.message;
  }
}
