/* The tests of the C library: runs the cases whose names begin as the argument says, or all, and prints the
 * records that the host counts. */
#include "test.h"
#include <setjmp.h>
#include <stdio.h>

static const struct test *const tables[] = { printf_tests, string_tests, stdlib_tests, thread_tests, mach_tests, sync_tests, shared_tests, file_tests, process_tests, alpc_tests, signal_tests };
static jmp_buf end_of_case;
static char reason[200];

_Noreturn void fail(const char *file, int line, const char *what)
{
    const char *name = strrchr(file, '/');
    snprintf(reason, sizeof reason, "%s:%d: %s", name ? name + 1 : file, line, what);
    longjmp(end_of_case, 1);
}

static int run(const struct test *test)
{
    printf("BEGIN %s\n", test->name);
    if (setjmp(end_of_case) == 0) {
        test->run();
        printf("OK %s\n", test->name);
        return 1;
    }
    printf("FAIL %s: %s\n", test->name, reason);
    return 0;
}

/* Runs the wanted cases, or only counts them; how many passed, or are wanted. */
static int each(const char *wanted, int (*what)(const struct test *))
{
    int sum = 0;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct test *test = tables[i]; test->name; test++)
            if (strncmp(test->name, wanted, strlen(wanted)) == 0)
                sum += what(test);
    return sum;
}

static int count(const struct test *test)
{
    (void)test;
    return 1;
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "";
    int planned = each(wanted, count);
    printf("PLAN %d\n", planned);
    int passed = each(wanted, run);
    printf("DONE %d passed %d failed\n", passed, planned - passed);
    return planned == 0 || passed < planned;
}
