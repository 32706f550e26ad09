// Prints `CNT 1`, `CNT 2`, … to the console, ten a second: whoever reads them sees whether the machine ever went back or lost a moment.
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 100000000L
#define SECOND_NS 1000000000L

int main(void) {
  setpriority(PRIO_PROCESS, 0, -10);
  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (unsigned long count = 1;; count++) {
    char line[32];
    snprintf(line, sizeof line, "CNT %lu\n", count);
    if (write(STDOUT_FILENO, line, strlen(line)) < 0) return 1;
    due.tv_nsec += PERIOD_NS;
    if (due.tv_nsec >= SECOND_NS) {
      due.tv_nsec -= SECOND_NS;
      due.tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
}
