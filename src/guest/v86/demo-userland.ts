import { type InitramfsEntry, packInitramfs } from "../debian/initramfs.js";

/** What the guest prints once its shell takes commands. */
export const READY_LINE = "PF ready";

/** The guest's first program: makes the file systems and gives the serial console to `pf-shell`. */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
exec < /dev/console > /dev/console 2>&1
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc none /proc
mount -t tmpfs none /tmp
mount -t tmpfs none /data
mkfifo /tmp/never
dmesg -n 1
stty -echo -opost
head -c 1048576 /dev/urandom > /data/manifest
(cd /data && sha256sum manifest > manifest.sha256)
seq 1000001 1131072 | sed 's/.*/request & was served in 12 ms by worker 3 with status 200 (OK)/' > /data/log
cp /data/log /tmp/rewrite
while :; do
  echo '${READY_LINE}'
  pf-shell
done
`;

/**
 * Commands of the demo guest, each a script for busybox. Those that go on for ever are meant to be started with `&`. They sleep by reading from
 * a pipe that nobody writes to: `sleep` would be a process, which costs the emulated processor ten milliseconds.
 */
const COMMANDS: Readonly<Record<string, string>> = {
  /** Runs the lines that come in, without the prompt and echo of an interactive shell. */
  "pf-shell": `while read -r line; do
  eval "$line"
done
`,
  /** Prints `PF count 1`, `PF count 2`, … until the guest ends. */
  "pf-counter": `exec 3<> /tmp/never
renice -n -10 $$ > /dev/null
n=0
while :; do
  n=$((n + 1))
  echo "PF count $n"
  read -r -t 0.02 _ <&3
done
`,
  /** Keeps rewriting a file of 9 MB, all of it, with text that begins a byte later each time. */
  "pf-rewrite": `exec 3<> /tmp/never
n=1
while :; do
  n=$((n + 1))
  tail -c +$n /data/log 1<> /tmp/rewrite
  read -r -t 0.1 _ <&3
done
`,
  /** Keeps changing a few bytes in each of $1 pages, $2 of them and a short rest in turn. */
  "pf-scatter": `exec 3<> /tmp/never
mkdir -p /tmp/scatter
n=0
while :; do
  n=$((n + 1))
  echo "$n of many" 1<> "/tmp/scatter/$((n * 7919 % $1))"
  [ $((n % $2)) = 0 ] && read -r -t 0.05 _ <&3
done
`,
  /** Prints `PF manifest SHA-256` where the file is as it was made, else `PF manifest damaged`. */
  "pf-manifest": `cd /data
if sha256sum -s -c manifest.sha256; then
  read -r sum name < manifest.sha256
  echo "PF manifest $sum"
else
  echo 'PF manifest damaged'
fi
`,
};

const FOLDER = 0o040755;
const PROGRAM = 0o100755;

/** The initramfs of the demo guest around a statically linked busybox. */
export function demoInitramfs(busybox: Uint8Array): Uint8Array {
  const folders = ["bin", "dev", "proc", "tmp", "data"].map((path): InitramfsEntry => ({ path, mode: FOLDER }));
  const script = (path: string, text: string): InitramfsEntry => ({
    path,
    mode: PROGRAM,
    content: new TextEncoder().encode(text),
  });
  return packInitramfs([
    ...folders,
    { path: "bin/busybox", mode: PROGRAM, content: busybox },
    script("init", INIT),
    ...Object.entries(COMMANDS).map(([name, text]) => script(`bin/${name}`, `#!/bin/busybox sh\n${text}`)),
  ]);
}
