import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContext, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type * as Pageferry from "../../src/index.js";
import { type Listener, listenWebSocket } from "../../src/node.js";
import type { Connection } from "../../src/transport/connection.js";
import { chromiumPath, launchChromium } from "../support/chromium.js";
import { exampleIn, projectFolder } from "../support/docs.js";
import { canMakeNamespace, NetworkNamespace } from "../support/network-namespace.js";

const ORIGIN = "http://localhost:8080";
const MIB = 1024 * 1024;
const importMap = exampleIn("docs/embedding.md", "html", "browser").match(/<script type="importmap.*?<\/script>/s)?.[0];
const HTML = `<!doctype html>${importMap}<script type="module">globalThis.pageferry = await import("pageferry");</script>`;

/** What is at a path: the page, or a built file; undefined: nothing. */
function fileAt(path: string): { readonly contentType: string; readonly body: string } | undefined {
  if (path === "/") return { contentType: "text/html", body: HTML };
  if (!/^\/(dist|node_modules)\/[\w/.@-]+\.m?js$/.test(path) || path.includes("..")) return undefined;
  return { contentType: "text/javascript", body: readFileSync(`${projectFolder}${path}`, "utf8") };
}

/** A page with the built library, which comes from here and not over any network. */
async function open(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  await page.route("**/*", (route) =>
    route.fulfill(fileAt(new URL(route.request().url()).pathname) ?? { status: 404 }),
  );
  return await load(page, ORIGIN);
}

async function load(page: Page, origin: string): Promise<Page> {
  await page.goto(origin);
  await page.waitForFunction(() => "pageferry" in globalThis);
  return page;
}

/** How two pages get the two ends, as the global `connection` of each. */
type Connect = (left: Page, right: Page) => Promise<void>;

const overTabs: Connect = async (left, right) => {
  const name = crypto.randomUUID();
  const join = (page: Page): Promise<void> =>
    page.evaluate(async (name) => {
      globalThis.connection = await pageferry.openTabConnection(name);
    }, name);
  await Promise.all([join(left), join(right)]);
};

const overWebRtc: Connect = async (left, right) => {
  const offer = await left.evaluate(async () => {
    globalThis.offer = await pageferry.offerConnection();
    return globalThis.offer.code;
  });
  const answer = await right.evaluate(
    async (code) => {
      globalThis.answer = await pageferry.answerOffer(code);
      return globalThis.answer.code;
    },
    `  ${offer.slice(0, 50)}\r\n${offer.slice(50)}\n`,
  );
  expect(offer.length).toBeLessThan(500);
  await left.evaluate(async (code) => {
    globalThis.connection = await globalThis.offer.accept(code);
  }, answer);
  await right.evaluate(async () => {
    globalThis.connection = await globalThis.answer.connection;
  });
};

declare global {
  var pageferry: typeof Pageferry;
  var connection: Connection;
  var offer: Pageferry.ConnectionOffer;
  var answer: Pageferry.ConnectionAnswer;
}

function conform(connect: Connect, context: () => BrowserContext): void {
  let left: Page;
  let right: Page;
  const both = async (): Promise<void> => {
    [left, right] = await Promise.all([open(context()), open(context())]);
    await connect(left, right);
  };
  const shut = async (): Promise<void> => {
    await Promise.all([left.close(), right.close()]);
  };

  it("carries bytes in order, more than are buffered, and then the end", async () => {
    await both();
    const sum = left.evaluate(async () => {
      let sum = 0;
      for (let sent = 0; sent < 40; sent++) {
        const bytes = crypto.getRandomValues(new Uint32Array(16 * 1024 - sent * 7)).map((word) => word % 251);
        for (const word of bytes) sum = (sum * 31 + word) % 1_000_003;
        await connection.send(Uint8Array.from(bytes));
      }
      await connection.close();
      return sum;
    });
    const received = right.evaluate(async () => {
      let sum = 0;
      for (let got = await connection.receive(); got !== undefined; got = await connection.receive()) {
        for (const byte of got) sum = (sum * 31 + byte) % 1_000_003;
      }
      await connection.close();
      return sum;
    });
    expect(await received).toBe(await sum);
    expect(await left.evaluate(() => connection.receive())).toBeUndefined();
    await shut();
  });

  it("holds a sender back whose peer does not read", async () => {
    await both();
    const sent = await left.evaluate(async () => {
      let sentBytes = 0;
      const chunk = new Uint8Array(256 * 1024);
      const sending = (async () => {
        for (; sentBytes < 64 << 20; sentBytes += chunk.length) await connection.send(chunk);
      })();
      sending.catch(() => {});
      for (let same = 0, last = -1; same < 20; same = last === sentBytes ? same + 1 : 0) {
        last = sentBytes;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return sentBytes;
    });
    expect(sent).toBeGreaterThan(MIB / 2);
    expect(sent).toBeLessThan(8 * MIB);
    await shut();
  });

  const outcome = (page: Page): Promise<string> =>
    page.evaluate(() =>
      connection.receive().then(
        () => "the end",
        (error: Pageferry.TransportError) => error.code,
      ),
    );

  it("is lost when the other side aborts", async () => {
    await both();
    const lost = outcome(right);
    await left.evaluate(() => connection.abort(new Error("enough")));
    expect(await lost).toBe("connection-lost");
    await shut();
  });

  it("is lost when the other tab is closed", async () => {
    await both();
    const lost = outcome(right);
    await left.close();
    expect(await lost).toBe("connection-lost");
    await right.close();
  });

  it("moves a machine", async () => {
    await both();
    const arrived = right.evaluate(async (memoryBytes) => {
      const host = new pageferry.MemoryHost();
      const authorise = (): true => true;
      const destination = new pageferry.Destination({ host: () => host, authorise, memoryLimitBytes: memoryBytes });
      await destination.receive(connection);
      const content = host.content as Pageferry.MemoryMachine;
      content.stop();
      return { steps: content.steps, wrong: content.wrongPages().length };
    }, 8 * MIB);
    const source = await left.evaluate(async (memoryBytes) => {
      const guest = new pageferry.MemoryGuest({ memoryBytes });
      const { outcome } = await pageferry.migrate(guest, connection, { compression: "lz4" }).report;
      return { outcome, steps: guest.content.steps };
    }, 8 * MIB);
    const { steps, wrong } = await arrived;
    expect(source.outcome).toBe("completed");
    expect(wrong).toBe(0);
    expect(steps).toBeGreaterThanOrEqual(source.steps);
    await shut();
  });
}

describe.skipIf(chromiumPath === undefined)("in Chromium (skipped where it is not installed)", () => {
  let browser: Browser;
  let context: BrowserContext;
  beforeAll(async () => {
    browser = await launchChromium();
    context = await browser.newContext();
  });
  afterAll(() => browser.close());

  describe("between two tabs", () => conform(overTabs, () => context));

  it("a third tab is turned away", async () => {
    const pages = await Promise.all([open(context), open(context), open(context)]);
    const join = (page: Page): Promise<string> =>
      page.evaluate(() =>
        pageferry.openTabConnection("of three").then(
          () => "connected",
          ({ code, message }: Pageferry.TransportError) => `${code}: ${message}`,
        ),
      );
    expect(await Promise.all(pages.slice(0, 2).map(join))).toEqual(["connected", "connected"]);
    expect(await join(pages[2] as Page)).toContain("connect-failed: Two other tabs");
    await Promise.all(pages.map((page) => page.close()));
  });

  it("a page connects to a WebSocket of Node where its origin is on the list, and nowhere else", async () => {
    const host = "127.0.0.1";
    const token = crypto.randomUUID();
    const echo = async (connection: Connection): Promise<void> => {
      for (let got = await connection.receive(); got !== undefined; got = await connection.receive()) {
        await connection.send(got);
      }
      await connection.close();
    };
    const listeners: Listener[] = [];
    const listen = async (origins: string[]): Promise<string> => {
      const listener = await listenWebSocket({ host, port: 0, origins, token }, (connection) => {
        echo(connection).catch(() => {});
      });
      listeners.push(listener);
      return `ws://${host}:${listener.port}/`;
    };
    // From a real server: Chromium lets no page of an unknown place connect to this machine.
    const server = createServer((request, response) => {
      const file = fileAt(request.url ?? "");
      response
        .writeHead(file === undefined ? 404 : 200, { "content-type": file?.contentType ?? "text/plain" })
        .end(file?.body);
    }).listen(0, host);
    await once(server, "listening");
    const origin = `http://${host}:${(server.address() as AddressInfo).port}`;
    const page = await load(await context.newPage(), origin);
    const attempt = (url: string): Promise<string> =>
      page.evaluate(
        async ([url, token]) => {
          try {
            const connection = await pageferry.connectWebSocket(url as string, { token: token as string });
            const sending = connection.send(new Uint8Array(12 << 20).fill(5)).then(() => connection.close());
            let length = 0;
            for (let got = await connection.receive(); got !== undefined; got = await connection.receive()) {
              length += got.length;
            }
            await sending;
            return `${length} bytes`;
          } catch (error) {
            return (error as Pageferry.TransportError).code;
          }
        },
        [url, token],
      );
    expect(await attempt(await listen([origin]))).toBe(`${12 << 20} bytes`);
    expect(await attempt(await listen(["http://localhost:8081"]))).toBe("connect-failed");
    for (const listener of listeners) await listener.close();
    await page.close();
    server.close();
  });
});

describe.skipIf(chromiumPath === undefined || !canMakeNamespace)(
  "WebRTC in Chromium (skipped where it is not installed, or no network namespace can be made)",
  () => {
    let namespace: NetworkNamespace;
    let browser: Browser;
    let context: BrowserContext;
    beforeAll(async () => {
      namespace = new NetworkNamespace();
      browser = await launchChromium({ executablePath: namespace.wrapper(chromiumPath as string) });
      context = await browser.newContext();
    });
    afterAll(async () => {
      await browser?.close();
      namespace?.close();
    });

    conform(overWebRtc, () => context);

    it("tells the codes apart that it does not take", async () => {
      const [left, right] = await Promise.all([open(context), open(context)]);
      const messages = await left.evaluate(async () => {
        const refusal = (promise: Promise<unknown>): Promise<string> =>
          promise.then(
            () => "taken",
            ({ code, message }: Pageferry.TransportError) => `${code}: ${message}`,
          );
        const offer = await pageferry.offerConnection();
        const other = await pageferry.offerConnection();
        const { code: foreign } = await pageferry.answerOffer(other.code);
        const flipped = offer.code.replace(/(.{40})(.)/, (_, head, last) => head + (last === "A" ? "B" : "A"));
        return [
          await refusal(pageferry.answerOffer("https://example.org")),
          await refusal(pageferry.answerOffer("x".repeat(1 << 20))),
          await refusal(pageferry.answerOffer(offer.code.slice(0, -3))),
          await refusal(pageferry.answerOffer(flipped)),
          await refusal(pageferry.answerOffer(offer.code.replace("pageferry1", "pageferry2"))),
          await refusal(pageferry.answerOffer(foreign)),
          await refusal(offer.accept(other.code)),
          await refusal(offer.accept(foreign)),
        ];
      });
      const words = ["no code", "no code", "damaged", "damaged", "version", "an answer", "an offer", "another offer"];
      for (const [index, message] of messages.entries()) {
        expect(message).toMatch(/^code-malformed: /);
        expect(message).toContain(words[index]);
      }
      await Promise.all([left.close(), right.close()]);
    });
  },
);
