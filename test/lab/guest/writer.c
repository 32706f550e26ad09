// Writes at random pages of a working set, at a steady rate, and knows what each of them must hold.
//
//   writer PAGES PAGES_PER_SECOND BYTES_PER_PAGE ANSWERS
//
// A page has 4096 / BYTES slots. Its v-th visit rewrites slot v mod slots with what follows from page, slot and v alone, so the number of visits
// tells the whole page. Visits are counted in a table of their own. Before a page is written all of it is checked; a wrong one is told at once:
// `WRITER BAD page`. SIGUSR1 asks for a check of all pages, SIGUSR2 for the number of visits so far; the answer is a line in the fifo ANSWERS.
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pace.h"

#define PAGE_BYTES 4096
#define WORD_BYTES 8
#define RUN_WORDS 8

static unsigned long pages, slots, slot_words, visits_done, bad_pages;
static uint64_t (*memory)[PAGE_BYTES / WORD_BYTES];
static uint32_t *visits;
static const char *answers;
static volatile sig_atomic_t is_check_due, is_count_due;

static uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

static uint64_t seed_of(unsigned long page, unsigned long slot, uint32_t visit) {
  return mix(((uint64_t)page << 40) ^ ((uint64_t)slot << 32) ^ visit ^ 0x5bd1e995u);
}

// The word `at` of a page. Of what was never visited, half is one word repeated: the working set compresses to about a half, as memory does.
static uint64_t word_of(uint64_t seed, uint32_t visit, unsigned long at) {
  return visit == 0 && at / RUN_WORDS % 2 == 1 ? seed : mix(seed + at * 0x9e3779b97f4a7c15u);
}

static void fill_slot(unsigned long page, unsigned long slot, uint32_t visit) {
  uint64_t seed = seed_of(page, slot, visit);
  for (unsigned long at = slot * slot_words; at < (slot + 1) * slot_words; at++) memory[page][at] = word_of(seed, visit, at);
}

static int is_slot_right(unsigned long page, unsigned long slot, uint32_t visit) {
  uint64_t seed = seed_of(page, slot, visit);
  for (unsigned long at = slot * slot_words; at < (slot + 1) * slot_words; at++)
    if (memory[page][at] != word_of(seed, visit, at)) return 0;
  return 1;
}

// The last visit up to `visit` that rewrote the slot; 0 where none did.
static uint32_t visit_of(unsigned long slot, uint32_t visit) {
  uint32_t back = (visit % slots + slots - slot) % slots;
  return visit > back ? visit - back : 0;
}

static int is_page_right(unsigned long page) {
  for (unsigned long slot = 0; slot < slots; slot++)
    if (!is_slot_right(page, slot, visit_of(slot, visits[page]))) return 0;
  return 1;
}

static void visit_page(unsigned long page) {
  if (!is_page_right(page)) {
    bad_pages++;
    printf("WRITER BAD %lu\n", page);
    fflush(stdout);
    for (unsigned long slot = 0; slot < slots; slot++) fill_slot(page, slot, visit_of(slot, visits[page]));
  }
  uint32_t visit = ++visits[page];
  fill_slot(page, visit % slots, visit);
  visits_done++;
}

static void answer(const char *text, unsigned long number) {
  int fifo = open(answers, O_WRONLY);
  dprintf(fifo, "%s %lu\n", text, number);
  close(fifo);
}

static void check_all(void) {
  unsigned long bad = bad_pages;
  for (unsigned long page = 0; page < pages; page++) bad += !is_page_right(page);
  if (bad == 0) answer("WRITER ok", pages);
  else answer("WRITER BAD", bad);
}

static void take_signal(int number) {
  if (number == SIGUSR1) is_check_due = 1;
  else is_count_due = 1;
}

int main(int count, char **arguments) {
  if (count != 5) return 1;
  pages = strtoul(arguments[1], NULL, 10);
  struct pace pace = pace_start(strtoul(arguments[2], NULL, 10));
  slot_words = strtoul(arguments[3], NULL, 10) / WORD_BYTES;
  answers = arguments[4];
  if (pages == 0 || slot_words == 0 || PAGE_BYTES / WORD_BYTES % slot_words != 0) return 1;
  slots = PAGE_BYTES / WORD_BYTES / slot_words;
  memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  visits = calloc(pages, sizeof *visits);
  if (memory == MAP_FAILED || visits == NULL) return 1;
  for (unsigned long page = 0; page < pages; page++)
    for (unsigned long slot = 0; slot < slots; slot++) fill_slot(page, slot, 0);
  signal(SIGUSR1, take_signal);
  signal(SIGUSR2, take_signal);
  answer("WRITER up", pages);
  for (uint64_t random = 1;;) {
    for (unsigned long steps = pace_next(&pace); steps > 0; steps--) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      visit_page((random >> 33) % pages);
    }
    if (is_check_due) {
      is_check_due = 0;
      check_all();
    }
    if (is_count_due) {
      is_count_due = 0;
      answer("OPS", visits_done);
    }
  }
}
