const UNITS = ["bytes", "kB", "MB", "GB", "TB"];
const COUNT = new Intl.NumberFormat("en");

/** Bytes for people: up to three digits and a unit of thousands, `18.2 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 999.5 && unit < UNITS.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? Math.round(value) : Number(value.toPrecision(3))} ${UNITS[unit]}`;
}

/** A time for people: `47 ms`, `1.2 s`, `2 min 5 s`. */
export function formatMs(ms: number): string {
  if (ms === 0) return "0 ms";
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A count for people: `6,100`. */
export function formatCount(count: number): string {
  return COUNT.format(count);
}

/** A count of things: `1 page`, `6,100 pages`. */
export function formatThings(count: number, thing: string): string {
  return `${formatCount(count)} ${thing}${count === 1 ? "" : "s"}`;
}

/** A share for people: `37 %`, and what is not nothing never shows as 0. */
export function formatShare(part: number, whole: number): string {
  if (part === 0 || whole === 0) return "0 %";
  const percent = (100 * part) / whole;
  return percent < 1 ? "< 1 %" : `${Math.round(percent)} %`;
}

/** How fast a processor runs: `52 MIPS`, millions of instructions a second. */
export function formatPace(instructionsPerSecond: number): string {
  const millions = instructionsPerSecond / 1e6;
  return `${millions < 9.95 ? millions.toFixed(1) : Math.round(millions)} MIPS`;
}

/** The uptime of a machine as a clock: `0:01:23.2`. */
export function formatClock(seconds: number): string {
  const tenths = Math.floor(seconds * 10);
  const two = (value: number): string => String(value).padStart(2, "0");
  const whole = Math.floor(tenths / 10);
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}.${tenths % 10}`;
}
