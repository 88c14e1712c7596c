/* Files of the one directory, and what is done with descriptors. */
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "/tmp/c-file"

static void files_are_read_and_written(void)
{
    char text[16];
    struct stat stat_of;
    CHECK(open(NAME, O_RDWR) == -1 && errno == ENOENT);
    CHECK(access(NAME, F_OK) == -1 && errno == ENOENT);
    int file = open(NAME, O_CREAT | O_EXCL | O_RDWR, 0600);
    CHECK(file >= 3 && fcntl(file, F_GETFD) == 0);
    CHECK(open(NAME, O_CREAT | O_EXCL | O_RDWR, 0600) == -1 && errno == EEXIST);
    CHECK(read(file, text, sizeof text) == 0);
    CHECK(write(file, "one two three", 13) == 13 && lseek(file, 0, SEEK_CUR) == 13);
    CHECK(lseek(file, 4, SEEK_SET) == 4 && read(file, text, 3) == 3 && memcmp(text, "two", 3) == 0);
    CHECK(read(file, text, sizeof text) == 6 && memcmp(text, " three", 6) == 0 && read(file, text, 1) == 0);
    CHECK(pwrite(file, "TWO", 3, 4) == 3 && pread(file, text, 5, 3) == 5 && memcmp(text, " TWO ", 5) == 0);
    CHECK(lseek(file, 0, SEEK_CUR) == 13 && lseek(file, -1, SEEK_END) == 12);
    CHECK(lseek(file, -1, SEEK_SET) == -1 && errno == EINVAL && lseek(file, 0, 9) == -1 && errno == EINVAL);
    CHECK(lseek(STDOUT_FILENO, 0, SEEK_CUR) == -1 && errno == ESPIPE);
    /* What was never written is zero, up to what was. */
    CHECK(lseek(file, 9000, SEEK_SET) == 9000 && write(file, "end", 3) == 3);
    CHECK(pread(file, text, 4, 8999) == 4 && memcmp(text, "\0end", 4) == 0);
    CHECK(fstat(file, &stat_of) == 0 && stat_of.st_size == 9003 && S_ISREG(stat_of.st_mode));
    CHECK(stat(NAME, &stat_of) == 0 && stat_of.st_size == 9003 && (stat_of.st_mode & 0777) == 0600);
    CHECK(ftruncate(file, 3) == 0 && pread(file, text, 9, 0) == 3);

    int reader = open(NAME, O_RDONLY), writer = open("c-file", O_WRONLY | O_APPEND);
    CHECK(write(reader, "x", 1) == -1 && errno == EBADF && read(writer, text, 1) == -1 && errno == EBADF);
    CHECK(write(writer, " more", 5) == 5 && read(reader, text, sizeof text) == 8 && memcmp(text, "one more", 8) == 0);
    CHECK(close(writer) == 0 && close(reader) == 0 && read(reader, text, 1) == -1 && errno == EBADF);
    CHECK(unlink(NAME) == 0 && unlink(NAME) == -1 && errno == ENOENT);
    CHECK(pread(file, text, sizeof text, 0) == 8 && close(file) == 0);
    CHECK(fsync(file) == -1 && errno == EBADF);
}

static void paths_are_of_the_one_directory(void)
{
    char longer[PATH_MAX + 2];
    memset(longer, 'a', sizeof longer);
    longer[PATH_MAX] = 0;
    CHECK(open(longer, O_RDONLY) == -1 && errno == ENAMETOOLONG);
    longer[NAME_MAX + 1] = 0;
    CHECK(open(longer, O_CREAT | O_RDWR, 0600) == -1 && errno == ENAMETOOLONG);
    CHECK(open("", O_RDONLY) == -1 && errno == ENOENT);
    CHECK(open("/etc/passwd", O_RDONLY) == -1 && errno == ENOENT);
    CHECK(open("/tmp/none/file", O_CREAT | O_RDWR, 0600) == -1 && errno == ENOENT);
    CHECK(open("/tmp", O_RDWR) == -1 && errno == EISDIR);
    CHECK(pathconf("/", _PC_PATH_MAX) == PATH_MAX && pathconf("/tmp", _PC_NAME_MAX) == NAME_MAX);
}

static void files_are_mapped(void)
{
    int file = open(NAME, O_CREAT | O_RDWR | O_TRUNC, 0600), status;
    CHECK(file >= 3 && unlink(NAME) == 0 && write(file, "abc", 3) == 3);
    char *shared = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *own = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    CHECK(shared != MAP_FAILED && own != MAP_FAILED);
    own[0] = 'x';
    CHECK(shared[0] == 'a' && shared[3] == 0 && own[1] == 'b');
    pid_t child = fork();
    if (child == 0) {
        shared[1] = 'y';
        own[1] = 'z';
        _exit(write(file, "d", 1) == 1 ? 7 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    char text[4];
    CHECK(pread(file, text, 4, 0) == 4 && memcmp(text, "aycd", 4) == 0 && own[1] == 'b');
    CHECK(munmap(shared, 3) == 0 && munmap(own, 3) == 0 && close(file) == 0);
    CHECK(mmap(NULL, 3, PROT_READ, MAP_SHARED, file, 0) == MAP_FAILED && errno == EBADF);

    file = open(NAME, O_CREAT | O_WRONLY, 0600);
    CHECK(mmap(NULL, 3, PROT_WRITE, MAP_PRIVATE, file, 0) == MAP_FAILED && errno == EACCES);
    CHECK(unlink(NAME) == 0 && close(file) == 0);
    CHECK(mmap(NULL, 3, PROT_READ, MAP_SHARED, STDOUT_FILENO, 0) == MAP_FAILED && errno == ENODEV);
}

static void descriptors_can_be_more_than_one(void)
{
    char text[8];
    int file = open(NAME, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    CHECK(unlink(NAME) == 0);
    int second = dup(file), third = fcntl(file, F_DUPFD, 20);
    CHECK(second > file && third == 20 && dup2(file, 30) == 30 && dup2(file, 30) == 30 && dup2(file, file) == file);
    CHECK(fcntl(file, F_GETFD) == FD_CLOEXEC && fcntl(second, F_GETFD) == 0);
    CHECK(fcntl(second, F_SETFD, FD_CLOEXEC) == 0 && fcntl(second, F_GETFD) == FD_CLOEXEC);
    /* They are at one place, and have the same flags. */
    CHECK(write(file, "abcd", 4) == 4 && write(second, "ef", 2) == 2 && lseek(30, 0, SEEK_CUR) == 6);
    CHECK(lseek(third, 1, SEEK_SET) == 1 && read(file, text, 2) == 2 && memcmp(text, "bc", 2) == 0);
    CHECK(fcntl(file, F_GETFL) == O_RDWR && fcntl(third, F_SETFL, O_APPEND) == 0);
    CHECK(fcntl(file, F_GETFL) == (O_RDWR | O_APPEND) && write(file, "g", 1) == 1 && lseek(file, 0, SEEK_CUR) == 7);
    CHECK(close(file) == 0 && dup(file) == -1 && errno == EBADF && write(second, "h", 1) == 1);
    CHECK(fcntl(second, F_DUPFD, -1) == -1 && errno == EINVAL && fcntl(second, F_DUPFD, 1 << 20) == -1 && errno == EINVAL);
    CHECK(dup2(second, 1 << 20) == -1 && errno == EBADF && dup2(file, second) == -1 && errno == EBADF);
    CHECK(isatty(second) == 0 && errno == ENOTTY && isatty(file) == 0 && errno == EBADF);
    CHECK(close(second) == 0 && close(third) == 0 && close(30) == 0);
}

static void descriptors_are_limited(void)
{
    int opened[300], count = 0;
    while (count < 300 && (opened[count] = open(NAME, O_CREAT | O_RDWR, 0600)) >= 0)
        count++;
    CHECK(count < 300 && errno == EMFILE && opened[count - 1] == sysconf(_SC_OPEN_MAX) - 1);
    CHECK(dup(opened[0]) == -1 && errno == EMFILE);
    while (count > 0)
        CHECK(close(opened[--count]) == 0);
    CHECK(unlink(NAME) == 0);
}

static void memory_can_be_locked(void)
{
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && mlock(memory + 100, 8000) == 0 && munlock(memory, 8192) == 0);
    CHECK(mlock(memory, 0) == 0 && munmap(memory, 8192) == 0);
    CHECK(mlock(memory, 8192) == -1 && errno == ENOMEM && munlock(memory, 8192) == -1 && errno == ENOMEM);
    CHECK(mlockall(MCL_CURRENT | MCL_FUTURE) == 0 && munlockall() == 0);
    CHECK(mlockall(0) == -1 && errno == EINVAL && mlockall(64) == -1 && errno == EINVAL);
    CHECK(sysconf(_SC_MAPPED_FILES) > 0 && sysconf(_SC_MEMLOCK) > 0 && sysconf(_SC_MEMLOCK_RANGE) > 0);
}

static void a_program_is_who_it_is(void)
{
    CHECK(setuid(getuid()) == 0 && seteuid(geteuid()) == 0 && setgid(getgid()) == 0 && setegid(getegid()) == 0);
    CHECK(setuid(getuid() + 1) == -1 && errno == EPERM && setegid(getgid() + 1) == -1 && errno == EPERM);
}

const struct test file_tests[] = {
    { "c::files_are_read_and_written", files_are_read_and_written },
    { "c::paths_are_of_the_one_directory", paths_are_of_the_one_directory },
    { "c::files_are_mapped", files_are_mapped },
    { "c::descriptors_can_be_more_than_one", descriptors_can_be_more_than_one },
    { "c::descriptors_are_limited", descriptors_are_limited },
    { "c::memory_can_be_locked", memory_can_be_locked },
    { "c::a_program_is_who_it_is", a_program_is_who_it_is },
    { 0 },
};
