/* pthread.h: threads, keys, once, and what each thread has of its own. */
#include "test.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static void *twice(void *argument)
{
    return (void *)((intptr_t)argument * 2);
}

static void joining(void)
{
    pthread_t threads[8];
    for (intptr_t i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, twice, (void *)i) == 0);
    for (intptr_t i = 0; i < 8; i++) {
        void *result;
        CHECK(pthread_join(threads[i], &result) == 0 && (intptr_t)result == i * 2);
    }
    CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
    CHECK(pthread_join(threads[0], NULL) == ESRCH);
    CHECK(pthread_equal(pthread_self(), pthread_self()) && !pthread_equal(pthread_self(), threads[0]));
}

static void *set_errno(void *argument)
{
    (void)argument;
    intptr_t before = errno;
    errno = EBUSY;
    sleep(0);
    return (void *)(before * 1000 + errno);
}

static void own_errno(void)
{
    pthread_t thread;
    void *result;
    errno = EPERM;
    CHECK(pthread_create(&thread, NULL, set_errno, NULL) == 0);
    CHECK(pthread_join(thread, &result) == 0 && (intptr_t)result == EBUSY);
    CHECK(errno == EPERM);
}

static pthread_key_t key;
static int destroyed;

static void destroy(void *value)
{
    destroyed += (intptr_t)value;
}

static void *use_key(void *argument)
{
    void *before = pthread_getspecific(key);
    pthread_setspecific(key, argument);
    return before;
}

static void keys(void)
{
    pthread_t thread;
    void *result;
    destroyed = 0;
    CHECK(pthread_key_create(&key, destroy) == 0);
    CHECK(pthread_setspecific(key, (void *)1) == 0);
    CHECK(pthread_create(&thread, NULL, use_key, (void *)5) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == NULL);
    CHECK(destroyed == 5 && pthread_getspecific(key) == (void *)1);
    CHECK(pthread_key_delete(key) == 0 && pthread_key_delete(key) == EINVAL && pthread_setspecific(key, NULL) == EINVAL);
}

static int times_done;

static void done(void)
{
    times_done++;
}

static void once(void)
{
    static pthread_once_t control = PTHREAD_ONCE_INIT;
    CHECK(pthread_once(&control, done) == 0 && pthread_once(&control, done) == 0);
    CHECK(times_done == 1);
}

static void note(void *value)
{
    *(int *)value += 1;
}

static void *leave_early(void *argument)
{
    pthread_cleanup_push(note, argument);
    pthread_cleanup_push(note, argument);
    pthread_exit((void *)9);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void leaving(void)
{
    pthread_t thread;
    void *result;
    int noted = 0;
    CHECK(pthread_create(&thread, NULL, leave_early, &noted) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == (void *)9 && noted == 2);
}

static void *use_stack(void *argument)
{
    volatile char large[200000];
    memset((char *)large, 1, sizeof large);
    (void)argument;
    return (void *)(intptr_t)large[199999];
}

static void attributes(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *result;
    int state;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 1) == EINVAL);
    CHECK(pthread_attr_setstacksize(&attributes, 1 << 18) == 0);
    CHECK(pthread_create(&thread, &attributes, use_stack, NULL) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == (void *)1);
    CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    CHECK(pthread_attr_getdetachstate(&attributes, &state) == 0 && state == PTHREAD_CREATE_DETACHED);
    /* More than all memory could hold at once: what detached threads leave is taken back. */
    for (int i = 0; i < 200; i++)
        CHECK(pthread_create(&thread, &attributes, use_stack, NULL) == 0), usleep(1000);
    CHECK(pthread_attr_destroy(&attributes) == 0);
    CHECK(pthread_create(&thread, NULL, twice, NULL) == 0 && pthread_detach(thread) == 0);
}

const struct test thread_tests[] = {
    { "c::threads_are_joined_with_their_results", joining },
    { "c::each_thread_has_its_errno", own_errno },
    { "c::each_thread_has_its_values", keys },
    { "c::something_is_done_once", once },
    { "c::a_thread_can_leave_early", leaving },
    { "c::threads_have_attributes", attributes },
    { 0 },
};
