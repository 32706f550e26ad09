// Serves a file of 1 MiB, all of one byte, until it is ended; throws where it is told to.
import { FuseFile } from "../../../dist/guest/fuse/file.js";

const [, , path, byte = "7"] = process.argv;
try {
  await FuseFile.mount({
    path,
    byteLength: 1 << 20,
    maxReadBytes: 65536,
    onRead: (read) => read.answer(new Uint8Array(read.byteLength).fill(Number(byte))),
    onNotice: (sentence) => console.log(sentence),
  });
  console.log("mounted");
  process.stdin.on("data", (text) => {
    if (String(text).startsWith("exit")) process.exit(3);
    throw new Error("told to");
  });
} catch (error) {
  console.log(`${error.code}: ${error.message}`);
}
