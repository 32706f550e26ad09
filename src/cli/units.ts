const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** Bytes for people: three digits and a unit of thousands. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 999.5 && unit < UNITS.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toPrecision(3)} ${UNITS[unit]}`;
}

/** A time for people. */
export function formatMs(ms: number): string {
  return ms < 9_999.5 ? `${ms.toFixed(ms < 99.5 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const SUFFIXES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 1 << 10,
  mi: 1 << 20,
  gi: 1 << 30,
};

/** Reads `300`, `12.5M`, `512MiB`: k, M, G are thousands, KiB, MiB, GiB powers of two. Undefined where it is no such text. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]i?|)b?$/i.exec(text.trim());
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (SUFFIXES[(match[2] as string).toLowerCase()] as number));
}
