/* mapper FILE OFFSET...: maps the file as QEMU does private RAM, reads a byte at each offset, and writes to its page. At the word "hold" it waits for ever. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static sigjmp_buf back;

static void fault(int signal)
{
    siglongjmp(back, signal);
}

int main(int count, char **words)
{
    struct stat stat;
    int file = open(words[1], O_RDWR);

    if (file < 0 || fstat(file, &stat) != 0 || ftruncate(file, stat.st_size) != 0) {
        perror(words[1]);
        return 1;
    }
    volatile unsigned char *memory = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    madvise((void *)memory, stat.st_size, MADV_RANDOM);
    close(file);
    signal(SIGBUS, fault);
    for (int at = 2; at < count; at++) {
        if (strcmp(words[at], "hold") == 0) {
            pause();
            return 3;
        }
        unsigned long offset = strtoul(words[at], NULL, 10);
        if (sigsetjmp(back, 1) != 0) {
            puts("SIGBUS");
            continue;
        }
        unsigned char byte = memory[offset];
        memory[offset] = byte + 1;
        if (memory[offset] != (unsigned char)(byte + 1))
            return 2;
        printf("%d\n", byte);
        fflush(stdout);
    }
    return 0;
}
