// Fills a redis, or keeps it busy at a steady rate, over its unix socket.
//
//   redis-load SOCKET fill KEYS             every key once
//   redis-load SOCKET run KEYS RATE         two SETs of a key and an INCR of one of 1000 counters in turn, RATE commands a second, for ever
//
// Seven of eight SETs go to one in 64 keys: some of what an application keeps is asked for all the time.
// Values have 500 to 700 bytes: a third of them noise, the rest text, as records of an application have.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pace.h"

#define MAX_COMMAND_BYTES 1024
#define BATCH 64
#define COUNTERS 1000

static int redis;
static uint64_t state = 88172645463325252u;

static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static int make_value(char *value, unsigned long key) {
  int length = snprintf(value, 64, "{\"id\":%lu,\"token\":\"", key);
  for (int left = 200; left > 0; left -= 8, length += 8)
    for (uint64_t noise = next_random(), at = 0; at < 8; at++, noise >>= 8) value[length + at] = 33 + noise % 90;
  int end = 500 + next_random() % 200;
  while (length < end) length += snprintf(value + length, 64, "\",\"visit\":\"/items/%u", (unsigned)(next_random() % 1000));
  return length;
}

static int make_set(char *command, unsigned long key) {
  char value[MAX_COMMAND_BYTES];
  int length = make_value(value, key);
  int head = sprintf(command, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012lu\r\n$%d\r\n", key, length);
  memcpy(command + head, value, length);
  memcpy(command + head + length, "\r\n", 2);
  return head + length + 2;
}

static int make_increment(char *command, unsigned long counter) {
  return sprintf(command, "*2\r\n$4\r\nINCR\r\n$12\r\ncounter:%04lu\r\n", counter);
}

static int make_command(char *command, unsigned long keys) {
  static unsigned turn;
  if (++turn % 3 == 0) return make_increment(command, next_random() % COUNTERS);
  return make_set(command, next_random() % (next_random() % 8 == 0 ? keys : keys / 64 + 1));
}

// Sends, and waits for `answers` answers: each is one line.
static void ask(const char *commands, size_t length, unsigned answers) {
  for (size_t sent = 0; sent < length;) {
    ssize_t written = write(redis, commands + sent, length - sent);
    if (written <= 0) exit(1);
    sent += written;
  }
  while (answers > 0) {
    char text[4096];
    ssize_t got = read(redis, text, sizeof text);
    if (got <= 0) exit(1);
    for (ssize_t at = 0; at < got; at++) {
      if (text[at] == '-') exit(1);
      if (text[at] == '\n') answers--;
    }
  }
}

int main(int count, char **arguments) {
  if (count < 4) return 1;
  unsigned long keys = strtoul(arguments[3], NULL, 10);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
  redis = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(redis, (struct sockaddr *)&address, sizeof address) != 0) return 1;
  static char commands[BATCH * MAX_COMMAND_BYTES];
  if (strcmp(arguments[2], "fill") == 0) {
    for (unsigned long key = 0; key < keys;) {
      size_t length = 0;
      unsigned batch = 0;
      for (; batch < BATCH && key < keys; batch++, key++) length += make_set(commands + length, key);
      ask(commands, length, batch);
    }
    return 0;
  }
  if (count != 5) return 1;
  struct pace pace = pace_start(strtoul(arguments[4], NULL, 10));
  for (;;) {
    for (unsigned long left = pace_next(&pace); left > 0;) {
      size_t length = 0;
      unsigned batch = 0;
      for (; batch < BATCH && left > 0; batch++, left--) length += make_command(commands + length, keys);
      ask(commands, length, batch);
    }
  }
}
