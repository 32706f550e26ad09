import { type InitramfsEntry, packInitramfs } from "../debian/initramfs.js";
import type { SerialPort } from "./emulator.js";

/** The serial port of the shell for a person, and that of the command line for programs. */
export const CONSOLE_PORT: SerialPort = 0;
export const COMMAND_PORT: SerialPort = 1;
/** What the shell for a person prints when it takes commands. */
export const PROMPT: RegExp = /linux:\S+ /;

/** What the guest prints on its second serial port once its command line there takes commands. */
export const READY_LINE = "PF ready";

/** The guest's first program: makes the file systems, gives the first serial port to a shell for a person and the second one to `pf-shell`. */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
exec < /dev/console > /dev/console 2>&1
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='linux:\\w '
mount -t proc none /proc
mount -t tmpfs none /tmp
mount -t tmpfs none /data
mkfifo /tmp/never
dmesg -n 1
head -c 1048576 /dev/urandom > /data/manifest
(cd /data && sha256sum manifest > manifest.sha256)
seq 1000001 1131072 | sed 's/.*/request & was served in 12 ms by worker 3 with status 200 (OK)/' > /data/log
cp /data/log /tmp/rewrite
while :; do
  stty -echo -opost
  echo '${READY_LINE}'
  pf-shell
done < /dev/ttyS1 > /dev/ttyS1 2>&1 &
echo 'This is Linux, in your hands: type a command, such as ls or top.'
while :; do
  setsid cttyhack sh
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
  /** Prints `PF count 1`, `PF count 2`, … until the guest ends, one every $1 seconds (0.02). */
  "pf-counter": `exec 3<> /tmp/never
renice -n -10 $$ > /dev/null
n=0
while :; do
  n=$((n + 1))
  echo "PF count $n"
  read -r -t \${1:-0.02} _ <&3
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
  /** Works like a compiler: reads text, writes intermediate files and objects, links them, and says `PF build 1`, … */
  "pf-compile": `exec 3<> /tmp/never
mkdir -p /tmp/build
n=0
while :; do
  n=$((n + 1))
  for unit in 1 2 3 4 5 6; do
    tail -c +$((n * 997 + unit * 65536)) /data/log | head -c 32768 > /tmp/build/$unit.c
    sed 's/request/call/' /tmp/build/$unit.c > /tmp/build/$unit.s
    gzip -c /tmp/build/$unit.s > /tmp/build/$unit.o
  done
  cat /tmp/build/*.o > /tmp/build/program
  echo "PF build $n"
  read -r -t 0.2 _ <&3
done
`,
  /** Ends the workload before and starts `idle`, `counter`, `rewrite` or `compile`, which prints on the console. Prints `PF work $1`. */
  "pf-work": `if [ -s /tmp/work ]; then
  read -r group < /tmp/work
  kill -9 -$group
  rm /tmp/work
fi 2> /dev/null
case $1 in
  counter) set -- $1 pf-counter 0.1 ;;
  rewrite | compile) set -- $1 pf-$1 ;;
  *) set -- idle ;;
esac
if [ -n "$2" ]; then
  setsid $2 $3 > /dev/ttyS0 2>&1 &
  echo $! > /tmp/work
fi
echo "PF work $1"
`,
  /** Prints `PF uptime SECONDS`. */
  "pf-clock": `read -r up _ < /proc/uptime
echo "PF uptime $up"
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
