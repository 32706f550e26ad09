// Has a file of 16 pages served, full of 7s, and nobody else's; does what it is told.
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { LazyRam } from "../../../dist/guest/lazy/ram.js";

const PAGE_BYTES = 4096;
const path = process.argv[2];
try {
  const files = [{ path, byteLength: 16 * PAGE_BYTES }];
  const ram = await LazyRam.mount({ files, pageBytes: PAGE_BYTES, onNotice: console.log });
  ram.arrange([{ name: "mem0", path: ram.files[0].path }]);
  console.log("mounted");
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "commit") await ram.commit();
    if (line === "arrive") {
      writeSync(ram.files[0].file, Buffer.alloc(PAGE_BYTES, 7), 0, PAGE_BYTES, 0);
      ram.arrived(0, 1);
      await ram.faultReport();
    }
    console.log(line);
  }
} catch (error) {
  console.log(`${error.code}: ${error.message}`);
}
