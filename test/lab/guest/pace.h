// Steps at a steady rate, a few at a time.
#include <time.h>

#define TICK_NS 10000000L
#define TICKS_PER_SECOND 100

struct pace {
  struct timespec due;
  unsigned long rate, owed;
};

static struct pace pace_start(unsigned long steps_per_second) {
  struct pace pace = {.rate = steps_per_second};
  clock_gettime(CLOCK_MONOTONIC, &pace.due);
  return pace;
}

// Waits for the next tick, and says how many steps are due in it. Late ticks are made up for, unless they are seconds late.
static unsigned long pace_next(struct pace *pace) {
  pace->due.tv_nsec += TICK_NS;
  if (pace->due.tv_nsec >= 1000000000L) {
    pace->due.tv_nsec -= 1000000000L;
    pace->due.tv_sec++;
  }
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (now.tv_sec > pace->due.tv_sec + 1) pace->due = now;
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &pace->due, NULL);
  pace->owed += pace->rate;
  unsigned long steps = pace->owed / TICKS_PER_SECOND;
  pace->owed %= TICKS_PER_SECOND;
  return steps;
}
