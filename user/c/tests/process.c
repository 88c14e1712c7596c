/* Processes: fork, and waiting for its child. */
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void a_child_has_its_own_memory(void)
{
    int status, number = 40;
    int *mine = malloc(sizeof *mine);
    *mine = 1;
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        number += 2;
        *mine += 2;
        _exit(getppid() == parent && getpid() != parent ? number + *mine : 1);
    }
    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 45);
    CHECK(number == 40 && *mine == 1);
    free(mine);
    CHECK(waitpid(child, &status, 0) == -1 && errno == ECHILD);
    CHECK(wait(&status) == -1 && errno == ECHILD);
}

static void *add(void *number)
{
    ++*(int *)number;
    return NULL;
}

static void a_child_can_do_what_its_parent_can(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        int number = 3;
        if (pthread_create(&thread, NULL, add, &number) != 0 || pthread_join(thread, NULL) != 0)
            _exit(1);
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(5);
        if (waitpid(grandchild, &status, 0) != grandchild)
            _exit(2);
        _exit(number + WEXITSTATUS(status));
    }
    CHECK(waitpid(-1, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static void children_are_waited_for_in_any_order(void)
{
    int status;
    pid_t first = fork();
    if (first == 0) {
        usleep(50000);
        _exit(1);
    }
    CHECK(waitpid(first, &status, WNOHANG) == 0);
    pid_t second = fork();
    if (second == 0)
        _exit(2);
    CHECK(waitpid(second, &status, 0) == second && WEXITSTATUS(status) == 2);
    CHECK(wait(&status) == first && WEXITSTATUS(status) == 1);
}

static void a_child_that_crashes_is_missed(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        *(volatile int *)0 = 1;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

struct shared {
    sem_t asked, answered;
    pthread_mutex_t lock;
    int value;
};

static void parent_and_child_meet_in_shared_memory(void)
{
    int status;
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    CHECK(sem_init(&shared->asked, 1, 0) == 0 && sem_init(&shared->answered, 1, 0) == 0);
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutex_init(&shared->lock, &attributes) == 0);
    pid_t child = fork();
    if (child == 0) {
        sem_wait(&shared->asked);
        shared->value *= 2;
        pthread_mutex_lock(&shared->lock);
        sem_post(&shared->answered);
        _exit(0); /* with the mutex */
    }
    shared->value = 21;
    CHECK(sem_post(&shared->asked) == 0 && sem_wait(&shared->answered) == 0);
    CHECK(shared->value == 42);
    CHECK(pthread_mutex_lock(&shared->lock) == EOWNERDEAD);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(munmap(shared, sizeof *shared) == 0);
}

static void what_is_open_stays_open_in_the_child(void)
{
    int status;
    int memory = shm_open("/c-inherited", O_CREAT | O_RDWR, 0600);
    CHECK(memory >= 0 && ftruncate(memory, 100) == 0 && shm_unlink("/c-inherited") == 0);
    pid_t child = fork();
    if (child == 0) {
        char *text = mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
        if (text == MAP_FAILED)
            _exit(1);
        strcpy(text, "from the child");
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    char *text = mmap(NULL, 100, PROT_READ, MAP_SHARED, memory, 0);
    CHECK(text != MAP_FAILED);
    CHECK_TEXT(text, "from the child");
    CHECK(munmap(text, 100) == 0 && close(memory) == 0);
}

const struct test process_tests[] = {
    { "c::a_child_has_its_own_memory", a_child_has_its_own_memory },
    { "c::a_child_can_do_what_its_parent_can", a_child_can_do_what_its_parent_can },
    { "c::children_are_waited_for_in_any_order", children_are_waited_for_in_any_order },
    { "c::a_child_that_crashes_is_missed", a_child_that_crashes_is_missed },
    { "c::parent_and_child_meet_in_shared_memory", parent_and_child_meet_in_shared_memory },
    { "c::what_is_open_stays_open_in_the_child", what_is_open_stays_open_in_the_child },
    { 0 },
};
