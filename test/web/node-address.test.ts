import { expect, it } from "vitest";
import { readNodeAddress } from "../../web/src/node-address.js";

it("takes the token out of an address, and adds the path", () => {
  const address = "ws://127.0.0.1:7900/arrivals";
  expect(readNodeAddress(" ws://127.0.0.1:7900/#k3-x ", "arrivals")).toEqual({ url: address, token: "k3-x" });
  expect(readNodeAddress("ws://127.0.0.1:7900", "arrivals")).toEqual({ url: address, token: undefined });
  expect(readNodeAddress("wss://example.org/ferry/#t", "departures/a%20b")).toEqual({
    url: "wss://example.org/ferry/departures/a%20b",
    token: "t",
  });
});

it("knows what is no address of a WebSocket", () => {
  for (const text of ["", "hello", "http://127.0.0.1:7900/", "javascript:alert(1)", "127.0.0.1:7900"]) {
    expect(readNodeAddress(text, "arrivals"), text).toBeUndefined();
  }
});
