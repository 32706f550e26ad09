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

/** The saved Linux, or undefined where the page is served without one. Throws where fetching fails or the image is damaged. */
export async function fetchLinux(onProgress: (progress: FetchProgress) => void): Promise<MachineSource | undefined> {
  onProgress({ text: "Fetching Linux", share: 0 });
  const response = await fetch(IMAGE_URL);
  if (response.status === 404) return undefined;
  if (!response.ok || response.body === null)
    throw new Error(`The saved Linux cannot be fetched (status ${response.status}).`);
  const total = Number(response.headers.get("content-length") ?? 0);
  let fetched = 0;
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        fetched += chunk.length;
        onProgress(progressOf(fetched, total));
        controller.enqueue(chunk);
      },
    }),
  );
  return await unpack(new Uint8Array(await new Response(counted).arrayBuffer()));
}

function progressOf(fetched: number, total: number): FetchProgress {
  if (total === 0) return { text: `Fetching Linux, ${formatBytes(fetched)}`, share: undefined };
  const done = formatBytes(fetched).replace(/ \w+$/, "");
  return { text: `Fetching Linux, ${done} of ${formatBytes(total)}`, share: fetched / total };
}

/** What `npm run web` packs: the length of a JSON header (u32, little-endian), the header, the console's text, the state; all of it gzipped. */
async function unpack(packed: Uint8Array<ArrayBuffer>): Promise<MachineSource> {
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(plain).arrayBuffer());
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
