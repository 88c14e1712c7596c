/* What tasks share by name: memory, and message queues. */
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void shared_memory_has_names(void)
{
    struct stat stat;
    CHECK(shm_open("/c-memory", O_RDWR, 0) == -1 && errno == ENOENT);
    int first = shm_open("/c-memory", O_CREAT | O_EXCL | O_RDWR, 0600);
    CHECK(first >= 3);
    CHECK(fcntl(first, F_GETFD) == FD_CLOEXEC);
    CHECK(shm_open("/c-memory", O_CREAT | O_EXCL | O_RDWR, 0600) == -1 && errno == EEXIST);
    CHECK(ftruncate(first, 5000) == 0);
    CHECK(posix_fallocate(first, 0, 5000) == 0 && posix_fallocate(first, -1, 1) == EINVAL);
    CHECK(fstat(first, &stat) == 0);
    CHECK(S_ISREG(stat.st_mode) && (stat.st_mode & 0777) == 0600 && stat.st_size == 5000);
    CHECK(stat.st_uid == getuid() && stat.st_gid == getgid());

    char *written = mmap(NULL, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, first, 0);
    CHECK(written != MAP_FAILED);
    strcpy(written + 4090, "across two pages");
    int second = shm_open("/c-memory", O_RDONLY, 0);
    CHECK(second > first);
    const char *read = mmap(NULL, 5000, PROT_READ, MAP_SHARED, second, 0);
    CHECK(read != MAP_FAILED && read != written);
    CHECK_TEXT(read + 4090, "across two pages");
    CHECK(mmap(NULL, 5000, PROT_WRITE, MAP_SHARED, second, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, second, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(ftruncate(second, 1) == -1 && errno == EINVAL);
    CHECK(mprotect(written, 4096, PROT_READ) == 0 && msync(written, 4096, MS_SYNC) == 0);

    CHECK(shm_unlink("/c-memory") == 0);
    CHECK(shm_unlink("/c-memory") == -1 && errno == ENOENT);
    CHECK(close(first) == 0 && close(second) == 0);
    CHECK(close(first) == -1 && errno == EBADF);
    CHECK(fstat(first, &stat) == -1 && errno == EBADF);
    CHECK_TEXT(read + 4090, "across two pages");
    CHECK(munmap(written, 5000) == 0 && munmap((void *)read, 5000) == 0);
}

static void memory_is_mapped_without_a_name(void)
{
    char *memory = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && memory[9999] == 0);
    memory[9999] = 1;
    CHECK(munmap(memory, 10000) == 0);
    struct stat stat;
    CHECK(fstat(STDOUT_FILENO, &stat) == 0 && S_ISCHR(stat.st_mode));
}

static void queues_keep_messages_in_order(void)
{
    struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = 16 }, found;
    char text[16];
    unsigned priority;
    CHECK(mq_open("c-queue", O_RDWR) == -1 && errno == EINVAL);
    CHECK(mq_open("/c-queue", O_RDWR) == -1 && errno == ENOENT);
    mqd_t queue = mq_open("/c-queue", O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    CHECK(queue != (mqd_t)-1);
    CHECK(mq_send(queue, "low", 4, 1) == 0 && mq_send(queue, "high", 5, 9) == 0);
    CHECK(mq_getattr(queue, &found) == 0 && found.mq_curmsgs == 2 && found.mq_maxmsg == 2 && found.mq_msgsize == 16);
    struct timespec past = { 0, 0 };
    CHECK(mq_timedsend(queue, "third", 6, 0, &past) == -1 && errno == ETIMEDOUT);
    CHECK(mq_send(queue, "much too long to be sent", 25, 0) == -1 && errno == EMSGSIZE);
    CHECK(mq_receive(queue, text, 4, NULL) == -1 && errno == EMSGSIZE);
    CHECK(mq_receive(queue, text, sizeof text, &priority) == 5 && priority == 9);
    CHECK_TEXT(text, "high");
    CHECK(mq_receive(queue, text, sizeof text, NULL) == 4);
    CHECK_TEXT(text, "low");
    found.mq_flags = O_NONBLOCK;
    CHECK(mq_setattr(queue, &found, &attributes) == 0 && attributes.mq_flags == 0);
    CHECK(mq_receive(queue, text, sizeof text, NULL) == -1 && errno == EAGAIN);

    mqd_t other = mq_open("/c-queue", O_WRONLY);
    CHECK(other != (mqd_t)-1 && other != queue);
    CHECK(mq_receive(other, text, sizeof text, NULL) == -1 && errno == EBADF);
    CHECK(mq_unlink("/c-queue") == 0 && mq_unlink("/c-queue") == -1 && errno == ENOENT);
    CHECK(mq_close(other) == 0 && mq_close(queue) == 0);
    CHECK(mq_close(queue) == -1 && errno == EBADF);
}

static void semaphores_have_names(void)
{
    int value, status;
    CHECK(sem_open("/c-semaphore", 0) == SEM_FAILED && errno == ENOENT);
    sem_t *first = sem_open("/c-semaphore", O_CREAT | O_EXCL, 0600, 2);
    CHECK(first != SEM_FAILED);
    CHECK(sem_open("/c-semaphore", O_CREAT | O_EXCL, 0600, 2) == SEM_FAILED && errno == EEXIST);
    sem_t *second = sem_open("/c-semaphore", O_CREAT, 0600, 7);
    CHECK(second == first && sem_getvalue(second, &value) == 0 && value == 2);
    CHECK(sem_close(second) == 0);
    CHECK(sem_wait(first) == 0 && sem_wait(first) == 0);
    pid_t child = fork();
    if (child == 0) {
        sem_t *mine = sem_open("/c-semaphore", 0);
        _exit(mine == SEM_FAILED || sem_post(mine) != 0);
    }
    CHECK(sem_wait(first) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(sem_unlink("/c-semaphore") == 0 && sem_unlink("/c-semaphore") == -1 && errno == ENOENT);
    CHECK(sem_close(first) == 0 && sem_close(first) == -1 && errno == EINVAL);
    CHECK(sem_open("/c-semaphore", O_CREAT, 0600, SEM_VALUE_MAX + 1u) == SEM_FAILED && errno == EINVAL);
}

static sem_t told;
static int told_value;

static void tell(union sigval value)
{
    told_value = value.sival_int;
    sem_post(&told);
}

static void ignore(int signal)
{
    (void)signal;
}

/* Who waits at a queue may be interrupted, and then nothing has been sent or lost. */
static void waits_at_queues_end_by_a_signal(void)
{
    struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = 8 };
    struct sigaction action = { .sa_handler = ignore }, before;
    char text[8];
    mqd_t queue = mq_open("/c-waits", O_CREAT | O_RDWR, 0600, &attributes);
    CHECK(queue != (mqd_t)-1 && mq_unlink("/c-waits") == 0);
    CHECK(sigaction(SIGALRM, &action, &before) == 0);
    alarm(1);
    CHECK(mq_receive(queue, text, sizeof text, NULL) == -1 && errno == EINTR);
    CHECK(mq_send(queue, "first", 6, 0) == 0);
    alarm(1);
    CHECK(mq_send(queue, "second", 7, 0) == -1 && errno == EINTR);
    CHECK(mq_receive(queue, text, sizeof text, NULL) == 6 && strcmp(text, "first") == 0);
    CHECK(mq_getattr(queue, &attributes) == 0 && attributes.mq_curmsgs == 0);
    /* With SA_RESTART the wait goes on. */
    action.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2;
    alarm(1);
    CHECK(mq_timedreceive(queue, text, sizeof text, NULL, &until) == -1 && errno == ETIMEDOUT);
    CHECK(sigaction(SIGALRM, &before, NULL) == 0 && mq_close(queue) == 0);
}

static void queues_that_are_open_are_limited(void)
{
    mqd_t open[128];
    int count = 0;
    while (count < 128 && (open[count] = mq_open("/c-many", O_CREAT | O_RDWR, 0600, NULL)) != (mqd_t)-1)
        count++;
    CHECK(errno == EMFILE && count == sysconf(_SC_MQ_OPEN_MAX));
    while (count > 0)
        CHECK(mq_close(open[--count]) == 0);
    CHECK(mq_unlink("/c-many") == 0);
}

static void queues_tell_of_messages(void)
{
    mqd_t queue = mq_open("/c-notify", O_CREAT | O_RDWR, 0600, NULL);
    CHECK(queue != (mqd_t)-1);
    CHECK(sem_init(&told, 0, 0) == 0);
    struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 12 };
    event.sigev_notify_function = tell;
    CHECK(mq_notify(queue, &event) == 0);
    CHECK(mq_notify(queue, &event) == -1 && errno == EBUSY);
    CHECK(mq_send(queue, "x", 1, 0) == 0);
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_sec += 5;
    CHECK(sem_timedwait(&told, &time) == 0 && told_value == 12);
    CHECK(mq_notify(queue, &event) == 0);
    CHECK(mq_notify(queue, NULL) == 0);

    /* By a signal, which carries the value. */
    static char text[8192];
    siginfo_t info;
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, &before) == 0);
    event.sigev_notify = SIGEV_SIGNAL;
    /* Is of no account without a function. */
    event.sigev_notify_attributes = (void *)1;
    event.sigev_signo = 1000;
    CHECK(mq_notify(queue, &event) == -1 && errno == EINVAL);
    event.sigev_signo = SIGUSR1;
    CHECK(mq_receive(queue, text, sizeof text, NULL) == 1);
    CHECK(mq_notify(queue, &event) == 0 && mq_send(queue, "y", 1, 0) == 0);
    struct timespec limit = { 5, 0 };
    CHECK(sigtimedwait(&set, &info, &limit) == SIGUSR1);
    CHECK(info.si_code == SI_MESGQ && info.si_value.sival_int == 12);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    CHECK(mq_unlink("/c-notify") == 0 && mq_close(queue) == 0);
}

const struct test shared_tests[] = {
    { "c::shared_memory_has_names", shared_memory_has_names },
    { "c::memory_is_mapped_without_a_name", memory_is_mapped_without_a_name },
    { "c::semaphores_have_names", semaphores_have_names },
    { "c::queues_keep_messages_in_order", queues_keep_messages_in_order },
    { "c::waits_at_queues_end_by_a_signal", waits_at_queues_end_by_a_signal },
    { "c::queues_that_are_open_are_limited", queues_that_are_open_are_limited },
    { "c::queues_tell_of_messages", queues_tell_of_messages },
    { 0 },
};
