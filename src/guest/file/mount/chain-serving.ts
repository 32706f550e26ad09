import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { GuestError } from "../../errors.js";
import { nextTurn } from "../../turn.js";
import { Chain, type ChainLink } from "../chain/chain.js";
import { ChainReader } from "../chain/chain-reader.js";
import { LeafCache } from "../leaf-cache.js";
import { LeafDigests } from "../leaf-digests.js";
import { VerifiedImage } from "../verified-image.js";
import type { ChainThreadData, ChainThreadMessage, DecodeOrder } from "./chain-messages.js";
import { LeafDecoder } from "./leaf-decoder.js";
import { MAX_MOUNTED_PAGES } from "./page-states.js";
import { SpillFile } from "./spill.js";
import { UnchangedLeaves } from "./unchanged-leaves.js";

const { basePath, patchPaths, mostReads } = workerData as ChainThreadData;
const port = parentPort as MessagePort;
const cache = new LeafCache();

/** Orders that cannot be carried out yet. */
let waiting: DecodeOrder[] = [];
let carryOut = (order: DecodeOrder): void => void waiting.push(order);
port.on("message", (order: DecodeOrder) => carryOut(order));

try {
  await serve();
} catch (error) {
  const code = error instanceof GuestError ? error.code : "image";
  tell({ kind: "failed", code, message: (error as Error).message });
}

async function serve(): Promise<void> {
  const chain = await Chain.open(basePath, patchPaths);
  const { byteLength, pageBytes, digest } = chain;
  const pageCount = Math.ceil(byteLength / pageBytes);
  if (pageCount > MAX_MOUNTED_PAGES) {
    throw new GuestError("image", `The image has ${pageCount} pages; at most ${MAX_MOUNTED_PAGES} can be mounted.`);
  }
  const baseLeaves = await leavesOfBase(chain);
  const lastLeaves = await cache.find(digest, byteLength);
  const states = new Uint8Array(new SharedArrayBuffer(pageCount));
  const spill = SpillFile.create();
  const spillDescriptor = spill.descriptor;
  tell({ kind: "opened", byteLength, pageBytes, states, spillDescriptor, baseIdentity: chain.base.identity });

  const base = new VerifiedImage(chain.base, baseLeaves);
  if (lastLeaves !== undefined) {
    const unchanged = new UnchangedLeaves(base, baseLeaves, lastLeaves, states, pageBytes);
    begin((order) => {
      if (leavesOf(order).every((leaf) => unchanged.check(leaf))) tell({ kind: "decoded", order: order.order });
      else waiting.push(order);
    });
  }
  const reader = await ChainReader.open(chain, base);
  const onFault = (sentence: string): void => tell({ kind: "notice", sentence });
  const decoder = new LeafDecoder({ reader, base, baseLeaves, lastLeaves, states, spill, onFault });
  await decodeBeyondBudget(decoder);
  for (let leaf = decoder.nextChanged(0); leaf < decoder.leafCount; leaf = decoder.nextChanged(leaf + 1)) {
    decoder.decode(leaf);
    await nextTurn();
  }
  const leaves = await decoder.finish(digest);
  if (leaves === undefined) {
    onFault(
      `What these patches make cannot be compared with the digest of the whole, since a part of it cannot be read.`,
    );
  } else if (leaves !== lastLeaves) {
    await cache.keep(leaves);
  }
  reader.forgetBatches();
  tell({ kind: "settled" });
}

/** The digests of the base's parts, kept from an earlier time or made anew; the base is then what the first patch was made from. */
async function leavesOfBase({ base, links }: Chain): Promise<LeafDigests> {
  const { header, path } = links[0] as ChainLink;
  const kept = await cache.find(header.base.digest, base.byteLength);
  if (kept !== undefined) return kept;
  tell({
    kind: "notice",
    sentence: `${base.path} is mounted with patches for the first time: all of it is read before.`,
  });
  const leaves = await LeafDigests.compute(base, nextTurn);
  base.checkUnchanged();
  if ((await leaves.root()) !== header.base.digest) {
    throw new GuestError("patch-base", `${path} was made from another image than ${base.path}.`);
  }
  await cache.keep(leaves);
  return leaves;
}

/** Decodes the pages that are scattered over too many places; whoever reads one of them waits for that. */
async function decodeBeyondBudget(decoder: LeafDecoder): Promise<void> {
  const mustWait = new Set<number>();
  for (let leaf = decoder.nextChanged(0); leaf < decoder.leafCount; leaf = decoder.nextChanged(leaf + 1)) {
    if (decoder.isBeyond(leaf, mostReads)) mustWait.add(leaf);
  }
  const decode = (order: DecodeOrder): void => {
    for (const leaf of leavesOf(order)) decoder.decode(leaf);
    tell({ kind: "decoded", order: order.order });
  };
  begin((order) => {
    if (leavesOf(order).some((leaf) => mustWait.has(leaf))) waiting.push(order);
    else decode(order);
  });
  for (const leaf of mustWait) {
    decoder.decode(leaf);
    await nextTurn();
  }
  begin(decode);
}

/** Orders are carried out like this from now on, also those that have waited. */
function begin(next: (order: DecodeOrder) => void): void {
  carryOut = next;
  const orders = waiting;
  waiting = [];
  for (const order of orders) next(order);
}

function leavesOf({ firstLeaf, leafCount }: DecodeOrder): number[] {
  return Array.from({ length: leafCount }, (_, index) => firstLeaf + index);
}

function tell(message: ChainThreadMessage): void {
  port.postMessage(message);
}
