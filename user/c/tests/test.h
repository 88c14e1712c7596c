/* What a case is: a function that checks, and returns when all is well. The tables of all files are in main.c. */
#pragma once
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
};

/* Ends the case in failure. */
_Noreturn void fail(const char *file, int line, const char *what);

#define CHECK(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, #condition))
#define CHECK_TEXT(text, expected) ((strcmp(text, expected) == 0) ? (void)0 : fail(__FILE__, __LINE__, text))

extern const struct test printf_tests[], string_tests[], stdlib_tests[], thread_tests[], mach_tests[], sync_tests[], shared_tests[], file_tests[], process_tests[], alpc_tests[], signal_tests[];
