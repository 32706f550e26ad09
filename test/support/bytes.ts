import { expect } from "vitest";

/** Expects equal bytes. (The matchers walk arrays element by element, which takes minutes over megabytes.) */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  if (isSame(actual, expected)) return;
  expect(actual.length, "length").toBe(expected.length);
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  expect.fail(`byte ${at} is ${actual[at]} where ${expected[at]} was expected`);
}

/** By Node's fast compare where there is one. */
function isSame(left: Uint8Array, right: Uint8Array): boolean {
  if (globalThis.Buffer !== undefined) return Buffer.compare(left, right) === 0;
  if (left.length !== right.length) return false;
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false;
  return true;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of pairs of hex digits; blanks between them are passed over. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.replaceAll(/\s/g, "").match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}
