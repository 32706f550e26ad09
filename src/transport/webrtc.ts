import { checkNumber, lostError, MAX_TIMEOUT_MS } from "./check.js";
import type { Connection } from "./connection.js";
import { dataChannelConnection } from "./data-channel.js";
import { TransportError } from "./errors.js";
import { checkSession, decodePairing, encodePairing, SESSION_BYTES } from "./pairing-code.js";
import { readSdp, writeSdp } from "./session-description.js";

/** Options of {@link offerConnection}. */
export interface OfferOptions {
  /** How long the two may try to reach each other once the answer is there, in ms. Default: 30,000. */
  readonly timeoutMs?: number;
}

/** A connection that is offered to whoever is given the code. */
export interface ConnectionOffer {
  /** To be given to the other side. */
  readonly code: string;
  /**
   * Takes the code that the other side gives in return; resolves when the two are connected. Rejects with `code-malformed`, after which another
   * code can be taken, and with `connect-failed`, after which the offer is over.
   */
  accept(answerCode: string): Promise<Connection>;
  /** Takes the offer back. */
  cancel(): void;
}

/** The answer to an offer. */
export interface ConnectionAnswer {
  /** To be given to the side that made the offer. */
  readonly code: string;
  /** Resolves when that side has taken the code and the two are connected; there is no limit to how long somebody takes to paste it. */
  readonly connection: Promise<Connection>;
  /** Takes the answer back; the connection then rejects with `connect-failed`, if it is not there. */
  cancel(): void;
}

/** The browser names its own addresses at once, as a rule; those that come later than this are not waited for, unless there is none yet. */
const GATHERING_MS = 5000;
const FIRST_ADDRESS_MS = 20_000;

/**
 * Offers a WebRTC connection by a code that somebody carries to the other side, and another one back. No server helps, so nothing leaves the two
 * machines and they must reach each other directly: in one network, say.
 *
 * A code holds the fingerprint of the certificate that its side proves itself with: so each side is connected to the one whose code was
 * pasted and to nobody else, as surely as the codes came through unchanged. Codes are no secrets, but who changes both on their way can stand in the
 * middle. Rejects with `connect-failed` where the browser has no WebRTC or no network.
 */
export async function offerConnection({ timeoutMs = 30_000 }: OfferOptions = {}): Promise<ConnectionOffer> {
  checkNumber("timeoutMs", timeoutMs, 1, MAX_TIMEOUT_MS);
  const side = new Side();
  const session = crypto.getRandomValues(new Uint8Array(SESSION_BYTES));
  const code = await side.describe("offer", session);
  let isAccepted = false;
  return {
    code,
    async accept(answerCode) {
      const answer = await decodePairing(answerCode, "answer");
      checkSession(answer, session);
      if (isAccepted) throw new TransportError("argument", "An answer to this offer was taken already.");
      isAccepted = true;
      return await side.connect(writeSdp(answer), timeoutMs);
    },
    cancel: () => side.cancel(),
  };
}

/** Answers an offer; see {@link offerConnection}. Rejects with `code-malformed` and `connect-failed`. */
export async function answerOffer(offerCode: string): Promise<ConnectionAnswer> {
  const offer = await decodePairing(offerCode, "offer");
  const side = new Side();
  const code = await side.describe("answer", offer.session, writeSdp(offer));
  return { code, connection: side.connection, cancel: () => side.cancel() };
}

/** One side's peer connection with its only channel. */
class Side {
  readonly connection: Promise<Connection>;
  readonly #peer: RTCPeerConnection;
  #fail: (error: TransportError) => void = () => {};

  constructor() {
    if (typeof RTCPeerConnection === "undefined")
      throw failed("This browser has no WebRTC here (in workers none has).");
    const peer = new RTCPeerConnection({ iceServers: [] });
    this.#peer = peer;
    // Agreed on beforehand: neither side has to announce it to the other.
    const channel = peer.createDataChannel("pageferry", { negotiated: true, id: 0 });
    const loss = new AbortController();
    const connection = dataChannelConnection(channel, loss.signal);
    this.connection = new Promise((resolve, reject) => {
      channel.addEventListener("open", () => resolve(connection));
      this.#fail = (error) => {
        reject(error);
        loss.abort(error);
        peer.close();
      };
    });
    // Heard of by whoever waits for it; where nobody does, it is no unhandled one.
    this.connection.catch(() => {});
    channel.addEventListener("close", () => this.#fail(lostError()));
    // A page that goes tells the other side, which would otherwise wait for it for half a minute.
    globalThis.addEventListener("pagehide", () => connection.abort(lostError()), { once: true });
    peer.addEventListener("connectionstatechange", () => {
      // Before that, the other side may just not have the code yet.
      const wasOpen = channel.readyState !== "connecting";
      if (peer.connectionState === "closed" || (peer.connectionState === "failed" && wasOpen)) this.#fail(lostError());
    });
  }

  /** This side's code; after it has taken the other's description, where it is an answer. */
  async describe(kind: "offer" | "answer", session: Uint8Array, offer?: string): Promise<string> {
    const peer = this.#peer;
    try {
      if (offer !== undefined) await peer.setRemoteDescription({ type: "offer", sdp: offer });
      await peer.setLocalDescription();
      await gathered(peer);
      const own = readSdp(peer.localDescription?.sdp ?? "");
      if (own === undefined || own.addresses.length === 0) {
        throw failed(
          "This browser names no address at which the other side could reach it. Check that there is a network.",
        );
      }
      return await encodePairing({ kind, session, ...own });
    } catch (cause) {
      const error = cause instanceof TransportError ? cause : failed("The browser makes no WebRTC connection.", cause);
      this.#fail(error);
      throw error;
    }
  }

  /** Takes the answer. */
  async connect(answer: string, timeoutMs: number): Promise<Connection> {
    const timer = setTimeout(() => {
      const advice = "Both must be in one network, with no firewall between, and the other page must still be open.";
      this.#fail(failed(`The two sides did not reach each other within ${timeoutMs} ms. ${advice}`));
    }, timeoutMs);
    try {
      await this.#peer.setRemoteDescription({ type: "answer", sdp: answer });
    } catch (cause) {
      this.#fail(failed("The browser does not take the answer; the offer may be over.", cause));
    }
    return await this.connection.finally(() => clearTimeout(timer));
  }

  cancel(): void {
    this.#fail(failed("The connection was called off at this side."));
  }
}

function gathered(peer: RTCPeerConnection): Promise<void> {
  return new Promise((resolve) => {
    let isLate = false;
    const hasAddress = (): boolean => /^a=candidate:/m.test(peer.localDescription?.sdp ?? "");
    const check = (): void => {
      if (peer.iceGatheringState === "complete" || (isLate && hasAddress())) finish();
    };
    const timers = [
      setTimeout(() => {
        isLate = true;
        check();
      }, GATHERING_MS),
      setTimeout(() => finish(), FIRST_ADDRESS_MS),
    ];
    const finish = (): void => {
      for (const timer of timers) clearTimeout(timer);
      peer.removeEventListener("icegatheringstatechange", check);
      peer.removeEventListener("icecandidate", check);
      resolve();
    };
    peer.addEventListener("icegatheringstatechange", check);
    peer.addEventListener("icecandidate", check);
    check();
  });
}

function failed(message: string, cause?: unknown): TransportError {
  return new TransportError("connect-failed", message, { cause });
}
