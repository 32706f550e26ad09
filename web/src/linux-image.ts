import type { MachineSource } from "pageferry";
import { formatBytes } from "./format.js";

/** Where the saved Linux is served, beside the page. */
const IMAGE_URL = "./linux.image";

/** How far fetching is. */
export interface FetchProgress {
  readonly text: string;
  /** From 0 to 1; undefined where the size is not known. */
  readonly share: number | undefined;
}

/** The saved Linux, or undefined where the page is served without one. Throws where it cannot be fetched or is damaged, in a sentence. */
export async function fetchLinux(onProgress: (progress: FetchProgress) => void): Promise<MachineSource | undefined> {
  onProgress({ text: "Fetching Linux", share: 0 });
  const response = await fetch(IMAGE_URL).catch((cause: unknown) => {
    throw new Error("The saved Linux cannot be fetched: the server of this page does not answer.", { cause });
  });
  if (response.status === 404) return undefined;
  if (!response.ok || response.body === null) {
    throw new Error(`The saved Linux cannot be fetched: the server answers with status ${response.status}.`);
  }
  const total = Number(response.headers.get("content-length") ?? 0);
  try {
    return await unpack(response.body.pipeThrough(counting((fetched) => onProgress(progressOf(fetched, total)))));
  } catch (cause) {
    throw new Error("The saved Linux is damaged, or did not come whole. Build the page anew: npm run web", { cause });
  }
}

function counting(onBytes: (bytes: number) => void): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let count = 0;
  return new TransformStream({
    transform(chunk, controller) {
      count += chunk.length;
      onBytes(count);
      controller.enqueue(chunk);
    },
  });
}

function progressOf(fetched: number, total: number): FetchProgress {
  if (total === 0) return { text: `Fetching Linux, ${formatBytes(fetched)}`, share: undefined };
  const done = formatBytes(fetched).replace(/ \w+$/, "");
  return { text: `Fetching Linux, ${done} of ${formatBytes(total)}`, share: fetched / total };
}

/** What `npm run web` packs: the length of a JSON header (u32, little-endian), the header, the console's text, the state; all of it gzipped. */
async function unpack(packed: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<MachineSource> {
  const bytes = new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
  const headerBytes = new DataView(bytes.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + headerBytes)));
  const { memoryBytes, vgaMemoryBytes, consoleBytes } = header;
  const stateStart = 4 + headerBytes + consoleBytes;
  return {
    kind: "v86",
    name: "linux",
    memoryBytes,
    vgaMemoryBytes,
    consoleText: bytes.slice(4 + headerBytes, stateStart),
    state: bytes.slice(stateStart),
  };
}
