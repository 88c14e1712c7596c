/* The printf family against known strings, most of them from the C standard's own words. */
#include "test.h"
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stddef.h>

#define PRINTS(expected, ...) do { \
    char text[512]; \
    int length = snprintf(text, sizeof text, __VA_ARGS__); \
    CHECK_TEXT(text, expected); \
    CHECK(length == (int)strlen(expected)); \
} while (0)

static void integers(void)
{
    PRINTS("42 -42 +42  42", "%d %d %+d % d", 42, -42, 42, 42);
    PRINTS("-2147483648 2147483647 4294967295", "%d %i %u", INT_MIN, INT_MAX, UINT_MAX);
    PRINTS("-9223372036854775808 18446744073709551615", "%ld %lu", LONG_MIN, ULONG_MAX);
    PRINTS("-9223372036854775808 18446744073709551615", "%lld %llu", LLONG_MIN, ULLONG_MAX);
    PRINTS("18446744073709551615 -1 7", "%zu %zd %td", SIZE_MAX, (ssize_t)-1, (ptrdiff_t)7);
    PRINTS("-1 255 -1 65535 77", "%hhd %hhu %hd %hu %jd", -1, 255, -1, 65535, (intmax_t)77);
    PRINTS("ff FF 0xff 377 0377 0", "%x %X %#x %o %#o %#x", 255, 255, 255, 255, 255, 0);
}

static void widths(void)
{
    PRINTS("[   42][42   ][00042][  +42]", "[%5d][%-5d][%05d][%+5d]", 42, 42, 42, 42);
    PRINTS("[  042][042  ][]", "[%5.3d][%-5.3d][%.0d]", 42, 42, 0);
    PRINTS("[   42][42   ][0042]", "[%*d][%*d][%.*d]", 5, 42, -5, 42, 4, 42);
    PRINTS("[     word][word     ][wo][   wo]", "[%9s][%-9s][%.2s][%5.2s]", "word", "word", "word", "word");
    PRINTS("[c][  c][c  ]", "[%c][%3c][%-3c]", 'c', 'c', 'c');
    PRINTS("100%", "%d%%", 100);
    PRINTS("b a", "%2$s %1$s", "a", "b");
}

static void floats(void)
{
    PRINTS("3.141593 3.14 3 3.", "%f %.2f %.0f %#.0f", 3.14159265, 3.14159265, 3.14159265, 3.0);
    PRINTS("1.234568e+04 1.2E-05 1e+100", "%e %.1E %g", 12345.678, 0.000012, 1e100);
    PRINTS("100000 1e+06 0.0001 1e-05 1.5", "%g %g %g %g %g", 100000.0, 1000000.0, 0.0001, 0.00001, 1.5);
    PRINTS("inf -INF nan", "%f %F %f", INFINITY, -INFINITY, NAN);
    PRINTS("[  1.50][1.50  ][001.50][-0.0]", "[%6.2f][%-6.2f][%06.2f][%.1f]", 1.5, 1.5, 1.5, -0.0);
    PRINTS("0 2 2 4", "%.0f %.0f %.0f %.0f", 0.5, 1.5, 2.5, 3.5);
    PRINTS("0x1.8p+1 0x1p-1", "%a %a", 3.0, 0.5);
    PRINTS("1.7976931348623157e+308 4.94066e-324", "%.17g %g", DBL_MAX, 5e-324);
    PRINTS("0.1000000000000000055511151231257827021181583404541015625", "%.55f", 0.1);
    PRINTS("1.100000 1.1", "%Lf %Lg", 1.1L, 1.1L);
}

static void others(void)
{
    int count = 0;
    PRINTS("abcdef", "abc%ndef", &count);
    CHECK(count == 3);
    PRINTS("0x1234", "%p", (void *)0x1234);
    PRINTS("[w][wide]", "[%lc][%ls]", L'w', L"wide");
}

static void truncation(void)
{
    char text[8] = "unused!";
    CHECK(snprintf(text, 5, "%s", "abcdefgh") == 8);
    CHECK_TEXT(text, "abcd");
    CHECK(text[5] == 'd' || text[5] == '!' || text[5] == 'e');
    CHECK(snprintf(NULL, 0, "%d", 12345) == 5);
    CHECK(snprintf(text, 1, "%d", 12345) == 5 && text[0] == 0);
    char shared_memory[64];
    CHECK(sprintf(shared_memory, "Writing to shared memory") == 24);
    CHECK_TEXT(shared_memory, "Writing to shared memory");
}

static void streams(void)
{
    CHECK(printf("%s", "") == 0);
    CHECK(fprintf(stderr, "a word on stderr\n") == 17);
    CHECK(puts("a line by puts") >= 0);
    CHECK(fputs("a line by fputs\n", stdout) >= 0);
    CHECK(putchar('\n') == '\n');
    CHECK(fflush(stdout) == 0 && fflush(NULL) == 0);
    CHECK(fwrite("abc\n", 1, 4, stdout) == 4);
    CHECK(fseek(stdout, 0, SEEK_SET) == -1 && errno == ESPIPE);
    errno = ENOENT;
    perror("perror");
}

static void scanning(void)
{
    int number;
    char word[10];
    double real;
    CHECK(sscanf("17 fish 2.5e1", "%d %9s %lf", &number, word, &real) == 3);
    CHECK(number == 17 && real == 25.0);
    CHECK_TEXT(word, "fish");
    CHECK(sscanf("x", "%d", &number) == 0 && sscanf("", "%d", &number) == EOF);
}

const struct test printf_tests[] = {
    { "c::printf_writes_integers", integers },
    { "c::printf_pads_and_cuts", widths },
    { "c::printf_writes_floating_point_exactly", floats },
    { "c::printf_writes_pointers_characters_and_counts", others },
    { "c::snprintf_cuts_and_says_how_much_there_was", truncation },
    { "c::streams_write_to_the_console", streams },
    { "c::scanf_reads_what_printf_writes", scanning },
    { 0 },
};
