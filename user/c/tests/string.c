/* string.h, strings.h, ctype.h. */
#include "test.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

static void copying(void)
{
    char a[16] = "abc", b[16];
    CHECK(strlen(a) == 3 && strnlen(a, 2) == 2);
    CHECK_TEXT(strcpy(b, a), "abc");
    CHECK_TEXT(strcat(b, "def"), "abcdef");
    CHECK_TEXT(strncat(b, "ghi", 1), "abcdefg");
    memset(b, 'x', sizeof b);
    strncpy(b, "ab", 4);
    CHECK(memcmp(b, "ab\0\0x", 5) == 0);
    char c[] = "0123456789";
    memmove(c + 2, c, 8);
    CHECK_TEXT(c, "0101234567");
    memmove(c, c + 2, 8);
    CHECK_TEXT(c, "0123456767");
    char *copy = strdup("copied");
    CHECK_TEXT(copy, "copied");
    free(copy);
}

static void searching(void)
{
    const char *text = "one two three";
    CHECK(strchr(text, 'w') == text + 5 && strrchr(text, 't') == text + 8 && strchr(text, 'x') == NULL);
    CHECK(strstr(text, "three") == text + 8 && strstr(text, "four") == NULL && strstr(text, "") == text);
    CHECK(strspn(text, "eno") == 3 && strcspn(text, " ") == 3 && strpbrk(text, "wt") == text + 4);
    CHECK(memchr(text, 't', 13) == text + 4);
    char parts[] = "a,b,,c", *state;
    CHECK_TEXT(strtok_r(parts, ",", &state), "a");
    CHECK_TEXT(strtok_r(NULL, ",", &state), "b");
    CHECK_TEXT(strtok_r(NULL, ",", &state), "c");
    CHECK(strtok_r(NULL, ",", &state) == NULL);
}

static void comparing(void)
{
    CHECK(strcmp("a", "b") < 0 && strcmp("b", "a") > 0 && strcmp("", "") == 0 && strcmp("\xff", "a") > 0);
    CHECK(strncmp("abc", "abd", 2) == 0 && strcasecmp("ABC", "abc") == 0);
    CHECK(memcmp("a\0b", "a\0c", 3) < 0);
}

static void classes(void)
{
    for (int c = 0; c < 128; c++) {
        CHECK(!isdigit(c) == !(c >= '0' && c <= '9'));
        CHECK(!isalpha(c) == !((c | 32) >= 'a' && (c | 32) <= 'z'));
        CHECK(!isspace(c) == !(c == ' ' || (c >= '\t' && c <= '\r')));
        CHECK(!isprint(c) == !(c >= 32 && c < 127));
    }
    CHECK(toupper('a') == 'A' && tolower('Z') == 'z' && toupper('1') == '1');
}

static void errors(void)
{
    CHECK_TEXT(strerror(ENOENT), "No such file or directory");
    CHECK_TEXT(strerror(EINVAL), "Invalid argument");
}

const struct test string_tests[] = {
    { "c::strings_are_copied", copying },
    { "c::strings_are_searched", searching },
    { "c::strings_are_compared", comparing },
    { "c::characters_have_classes", classes },
    { "c::errors_have_texts", errors },
    { 0 },
};
