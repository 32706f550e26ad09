import { expect } from "vitest";

/** Expects equal bytes. (The matchers walk arrays element by element, which takes minutes over megabytes.) */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) === 0) return;
  expect(actual.length, "length").toBe(expected.length);
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  expect.fail(`byte ${at} is ${actual[at]} where ${expected[at]} was expected`);
}
