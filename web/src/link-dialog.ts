import {
  answerOffer,
  type Connection,
  connectWebSocket,
  offerConnection,
  resumableConnect,
  TransportError,
} from "pageferry";
import { button, element, setText } from "./dom.js";
import { readNodeAddress } from "./node-address.js";
import { sentenceOf } from "./sentences.js";
import { TabPeer } from "./tab-peer.js";

/** A step that the dialog shows: what to do, and what it is done with. */
interface Step {
  readonly title: string;
  readonly text?: string;
  readonly content: readonly Node[];
}

/** Asks the person for what a connection to elsewhere needs. Every method resolves with the connection, or undefined where the person gave up. */
export class LinkDialog {
  readonly #dialog: HTMLDialogElement = element("dialog", { attributes: { "aria-labelledby": "dialog-title" } });
  readonly #fault = element("p", { className: "dialog-fault", attributes: { role: "alert" } });
  #finish: (connection: Connection | undefined) => void = () => undefined;

  constructor() {
    document.body.append(this.#dialog);
    this.#dialog.addEventListener("close", () => this.#finish(undefined));
  }

  /** To a new tab of this browser; `peer` is what both tabs know of each other from then on. */
  toTab(): Promise<{ readonly connection: Connection; readonly peer: TabPeer } | undefined> {
    const peer = TabPeer.create();
    const url = `${location.href.replace(/#.*$/, "")}#tab=${peer.name}`;
    const open = button("Open the tab", () => window.open(url, "_blank"), "primary");
    const asked = this.#ask("Move it to another tab", "Both tabs must be of this browser.", [
      {
        title: "Open this page in another tab",
        text: "The machine sets off as soon as the tab is there. This tab must stay open until it has arrived.",
        content: [
          row(
            open,
            copyButton("Copy its address", () => url),
          ),
        ],
      },
    ]);
    this.#try(peer.connect());
    return asked.then((connection) => connection && { connection, peer });
  }

  /** To the same page on another computer, which is asked for an answer to a code. */
  toComputer(): Promise<Connection | undefined> {
    const code = codeField("Code for the other computer", true);
    const answer = codeField("Answer of the other computer", false);
    let accept: ((answer: string) => Promise<Connection>) | undefined;
    const connect = button("Connect and move", () => accept && this.#try(accept(answer.value)), "primary");
    const asked = this.#ask(
      "Move it to another computer",
      "The computers connect directly. No other one is asked, and nothing leaves them but the two codes that you pass on.",
      [
        {
          title: "1. Pass this code on",
          text: "On the other computer, open this page and choose “Wait for a machine from elsewhere”.",
          content: [code, row(copyButton("Copy the code", () => code.value))],
        },
        { title: "2. Paste the answer that it shows", content: [answer, row(connect)] },
      ],
    );
    let cancel: (() => void) | undefined;
    offerConnection().then(
      (offer) => {
        code.value = offer.code;
        accept = (text) => offer.accept(text);
        cancel = () => offer.cancel();
      },
      (error: unknown) => this.#tell(error),
    );
    return asked.then((connection) => {
      if (connection === undefined) cancel?.();
      return connection;
    });
  }

  /** To a process of Node at an address. */
  toNode(): Promise<Connection | undefined> {
    return this.#askAddress(
      "Move it to Node",
      "The machine goes on in a process of Node, here or on another computer.",
      "Connect and move",
      [],
      () => "arrivals",
    );
  }

  /** From elsewhere: from another computer that has given a code, or from Node. A tab needs no asking: it opens this page by a link. */
  fromElsewhere(): Promise<Connection | undefined> {
    const offer = codeField("Code of the other computer", false);
    const answer = codeField("Answer for the other computer", true);
    const make = button(
      "Make the answer",
      () => {
        void answerOffer(offer.value).then(
          ({ code, connection }) => {
            answer.value = code;
            this.#try(connection);
          },
          (error: unknown) => this.#tell(error),
        );
      },
      "primary",
    );
    const asked = this.#ask(
      "Wait for a machine from elsewhere",
      "Another tab needs no code: it opens this page by itself.",
      [
        { title: "1. Paste the code of the other computer", content: [offer, row(make)] },
        {
          title: "2. Pass the answer back",
          text: "The machine comes as soon as it is pasted there.",
          content: [answer, row(copyButton("Copy the answer", () => answer.value))],
        },
        {
          title: "Or fetch it from Node",
          content: [row(button("From an address …", () => this.#switch(() => this.#fromNode())))],
        },
      ],
    );
    return asked;
  }

  #fromNode(): Promise<Connection | undefined> {
    const name = element("input", { value: "linux", spellcheck: false, autocomplete: "off" });
    return this.#askAddress(
      "Fetch a machine from Node",
      "A machine that was moved to Node before, or was started there, comes here.",
      "Fetch it",
      [element("label", {}, element("span", {}, "Name of the machine"), name)],
      () => `departures/${encodeURIComponent(name.value.trim())}`,
    );
  }

  #askAddress(
    title: string,
    text: string,
    verb: string,
    more: readonly HTMLElement[],
    path: () => string,
  ): Promise<Connection | undefined> {
    const address = element("input", {
      type: "url",
      value: "ws://127.0.0.1:7900/#",
      spellcheck: false,
      autocomplete: "off",
    });
    const form = element(
      "form",
      { className: "address", noValidate: true },
      element("label", {}, element("span", {}, "Address"), address),
      ...more,
      element("button", { type: "submit", className: "primary" }, verb),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(connectToNode(address.value, path()));
    });
    const command = element("code", {}, `npx pageferry serve --origin ${location.origin}`);
    return this.#ask(title, text, [
      { title: "1. On the computer with Node", content: [command] },
      { title: "2. The address that it prints, with all that stands behind the #", content: [form] },
    ]);
  }

  /** Opens the dialog; whatever was asked before is given up. */
  #ask(title: string, text: string, steps: readonly Step[]): Promise<Connection | undefined> {
    this.#finish(undefined);
    setText(this.#fault, "");
    const list = element("div", { className: "steps" });
    for (const step of steps) {
      const parts = step.text === undefined ? step.content : [element("p", {}, step.text), ...step.content];
      list.append(element("section", {}, element("h3", {}, step.title), ...parts));
    }
    const heading = element("h2", { id: "dialog-title" }, title);
    const close = button("Close", () => this.#dialog.close());
    this.#dialog.replaceChildren(
      heading,
      element("p", {}, text),
      list,
      this.#fault,
      element("div", { className: "dialog-foot" }, close),
    );
    if (!this.#dialog.open) this.#dialog.showModal();
    return new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Goes on with another question in the place of this one; its answer is the answer to this one. */
  #switch(ask: () => Promise<Connection | undefined>): void {
    const finish = this.#finish;
    this.#finish = () => undefined;
    void ask().then(finish);
  }

  #try(connecting: Promise<Connection>): void {
    const finish = this.#finish;
    setText(this.#fault, "");
    connecting.then(
      (connection) => {
        if (this.#finish !== finish) {
          connection.abort(new Error("The person has closed the dialog."));
          return;
        }
        finish(connection);
        this.#dialog.close();
      },
      (error: unknown) => {
        if (this.#finish === finish) this.#tell(error);
      },
    );
  }

  #tell(error: unknown): void {
    setText(this.#fault, sentenceOf(error, "stays-there"));
  }
}

/** `pageferry serve` lets a lost link be taken up again. Rejects with `connect-failed` also where the text is no address. */
async function connectToNode(text: string, path: string): Promise<Connection> {
  const address = readNodeAddress(text, path);
  if (address === undefined) {
    throw new TransportError("connect-failed", "This is no address of pageferry serve: one begins with ws://");
  }
  const { url, token } = address;
  return await resumableConnect(() => connectWebSocket(url, token === undefined ? {} : { token }));
}

function codeField(label: string, isShown: boolean): HTMLTextAreaElement {
  return element("textarea", {
    readOnly: isShown,
    spellcheck: false,
    placeholder: isShown ? "…" : "Paste it here",
    attributes: { "aria-label": label, autocomplete: "off" },
  });
}

function copyButton(text: string, content: () => string): HTMLButtonElement {
  const copy = button(text, async () => {
    await navigator.clipboard.writeText(content()).then(
      () => setText(copy, "Copied"),
      () => setText(copy, "Copying is not allowed here"),
    );
  });
  return copy;
}

function row(...buttons: readonly HTMLElement[]): HTMLElement {
  return element("div", { className: "row-actions" }, ...buttons);
}
