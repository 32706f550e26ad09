#!/bin/busybox sh
# The lab guest's first program. It makes the content and starts the workload that the kernel's command line names, prints READY, counts on the
# first serial port, and answers commands on the second one.
/bin/busybox mount -t devtmpfs none /dev
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc none /proc
mount -t tmpfs none /data
mount -t tmpfs none /run
dmesg -n 1
stty -echo -opost
pages=2048 rate=1000 bytes=64 keys=140000
for word in $(cat /proc/cmdline); do
  case $word in pf.*) eval "${word#pf.}" ;; esac
done

# 8 MiB: noise, text, zeros, and many small files.
cd /data
head -c 3145728 /dev/urandom > noise
seq 1000001 1055000 | sed 's/.*/request & was served in 12 ms by worker 3 with status 200/' > log
head -c 1048576 /dev/zero > zeros
mkdir small
for number in $(seq 200); do echo "file $number of many" > "small/$number"; done
find . -type f | xargs sha256sum > /run/manifest

mkfifo /run/answers
case $workload in
writer)
  writer "$pages" "$rate" "$bytes" /run/answers &
  writer=$!
  read -r _ < /run/answers
  ;;
redis)
  redis-server --port 0 --unixsocket /run/redis --save '' --appendonly no --daemonize no > /run/redis.log &
  until [ -S /run/redis ]; do usleep 20000; done
  redis-load /run/redis fill "$keys"
  redis-load /run/redis run "$keys" "$rate" &
  ;;
mix)
  (
    turns=0
    while tar -c -f - /data | gzip -1 > /run/archive && gzip -dc /run/archive | sha256sum > /run/sum; do
      turns=$((turns + 1))
      echo $turns > /run/turns.new && mv /run/turns.new /run/turns
    done
  ) &
  echo 0 > /run/turns
  ;;
esac

# The writer may still have the fifo open from its last answer: that end is read, and then its answer waited for.
ask_writer() {
  kill -s "$1" "$writer" && until read -r answer < /run/answers; do :; done && echo "$answer"
}

echo READY
counter &
exec < /dev/ttyS1 > /dev/ttyS1
stty raw -echo
while read -r command; do
  case $command in
  verify)
    if (cd /data && sha256sum -s -c /run/manifest); then echo 'MANIFEST ok'; else echo 'MANIFEST damaged'; fi
    ;;
  check) if [ "$workload" = writer ]; then ask_writer USR1; else echo 'WRITER none'; fi ;;
  ops)
    case $workload in
    writer) ask_writer USR2 ;;
    redis) redis-cli -s /run/redis info stats | sed -n 's/^total_commands_processed:\([0-9]*\).*/OPS \1/p' ;;
    mix) echo "OPS $(cat /run/turns)" ;;
    *) echo 'OPS 0' ;;
    esac
    ;;
  *) echo 'UNKNOWN' ;;
  esac
done
