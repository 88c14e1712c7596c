/* stdlib.h, time.h, unistd.h, math.h. */
#include "test.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int constructed;

__attribute__((constructor)) static void construct(void)
{
    constructed = 1;
}

static void start(void)
{
    CHECK(constructed == 1);
    CHECK(getenv("PATH") == NULL);
}

static void allocation(void)
{
    unsigned char *block[64];
    for (int i = 0; i < 64; i++) {
        block[i] = malloc(i * 37);
        CHECK(block[i] != NULL && (uintptr_t)block[i] % 16 == 0);
        memset(block[i], i, i * 37);
    }
    for (int i = 0; i < 64; i += 2)
        free(block[i]);
    for (int i = 1; i < 64; i += 2) {
        block[i] = realloc(block[i], i * 111);
        CHECK(block[i] != NULL);
        for (int j = 0; j < i * 37; j++)
            CHECK(block[i][j] == i);
        free(block[i]);
    }
    int *zeros = calloc(1000, sizeof *zeros);
    for (int i = 0; i < 1000; i++)
        CHECK(zeros[i] == 0);
    free(zeros);
    free(NULL);
    void *aligned = NULL;
    CHECK(posix_memalign(&aligned, 4096, 100) == 0 && (uintptr_t)aligned % 4096 == 0);
    free(aligned);
    CHECK(posix_memalign(&aligned, 3, 100) == EINVAL);
    aligned = aligned_alloc(64, 128);
    CHECK((uintptr_t)aligned % 64 == 0);
    free(aligned);
}

static void shortage(void)
{
    volatile size_t huge = SIZE_MAX / 2;
    errno = 0;
    CHECK(malloc(huge) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc(huge, 4) == NULL && errno == ENOMEM);
    void *kept = malloc(10);
    CHECK(realloc(kept, huge) == NULL);
    free(kept);
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void sorting(void)
{
    int numbers[100];
    for (int i = 0; i < 100; i++)
        numbers[i] = i * 37 % 100;
    qsort(numbers, 100, sizeof *numbers, by_value);
    for (int i = 0; i < 100; i++)
        CHECK(numbers[i] == i);
    int wanted = 73;
    CHECK(bsearch(&wanted, numbers, 100, sizeof *numbers, by_value) == &numbers[73]);
}

static void numbers(void)
{
    char *end;
    CHECK(strtol("-0x1F!", &end, 0) == -31 && *end == '!');
    errno = 0;
    CHECK(strtol("99999999999999999999", NULL, 10) == LONG_MAX && errno == ERANGE);
    CHECK(strtoul("z", NULL, 36) == 35 && atoi(" 12x") == 12);
    CHECK(strtod("1.5e3", &end) == 1500.0 && *end == 0 && abs(-3) == 3 && div(7, 2).rem == 1);
    CHECK(fabs(sin(1.0) - 0.8414709848078965) < 1e-15 && sqrt(2.0) * sqrt(2.0) - 2.0 < 1e-15 && pow(2, 10) == 1024);
}

static void times(void)
{
    struct timespec before, after, nap = { 0, 5000000 }, wrong = { 0, 1000000000 };
    CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    CHECK(nanosleep(&nap, NULL) == 0);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    CHECK(ms >= 4);
    CHECK(nanosleep(&wrong, NULL) == -1 && errno == EINVAL);
    CHECK(clock_gettime(12345, &before) == -1 && errno == EINVAL);
    CHECK(usleep(1000) == 0 && sleep(0) == 0 && time(NULL) >= 0);
}

static void system_calls(void)
{
    CHECK(getpid() > 0);
    CHECK(sysconf(_SC_PAGESIZE) == 4096);
    CHECK(sysconf(12345) == -1 && errno == EINVAL);
    CHECK(write(STDOUT_FILENO, "written\n", 8) == 8);
    CHECK(write(77, "x", 1) == -1 && errno == EBADF);
    char byte;
    CHECK(read(77, &byte, 1) == -1 && errno == EBADF);
    CHECK(isatty(STDOUT_FILENO) && !isatty(77));
}

const struct test stdlib_tests[] = {
    { "c::constructors_run_before_main", start },
    { "c::memory_is_allocated_and_kept", allocation },
    { "c::what_cannot_be_allocated_is_null", shortage },
    { "c::arrays_are_sorted_and_searched", sorting },
    { "c::numbers_are_read_and_computed", numbers },
    { "c::time_passes", times },
    { "c::descriptors_are_the_console", system_calls },
    { 0 },
};
