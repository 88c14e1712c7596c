/* What threads meet at: mutexes, condition variables, barriers, read-write locks, semaphores. */
#include "test.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

static struct timespec after_ms(long ms)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += ms % 1000 * 1000000;
    time.tv_sec += ms / 1000 + time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

/* Runs a function in a thread of its own, to its end. */
static void *elsewhere(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, function, argument) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

static pthread_mutex_t counter_lock = PTHREAD_MUTEX_INITIALIZER;
static int counter;

static void *count(void *argument)
{
    (void)argument;
    for (int i = 0; i < 100; i++) {
        CHECK(pthread_mutex_lock(&counter_lock) == 0);
        int seen = counter;
        if (i % 10 == 0)
            sched_yield();
        counter = seen + 1;
        CHECK(pthread_mutex_unlock(&counter_lock) == 0);
    }
    return NULL;
}

static void mutexes_exclude(void)
{
    pthread_t threads[4];
    counter = 0;
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, count, NULL) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(counter == 400);
}

static void *try(void *mutex)
{
    return (void *)(long)pthread_mutex_trylock(mutex);
}

static void *try_until(void *mutex)
{
    struct timespec time = after_ms(20);
    return (void *)(long)pthread_mutex_timedlock(mutex, &time);
}

static void *unlock(void *mutex)
{
    return (void *)(long)pthread_mutex_unlock(mutex);
}

static void mutexes_have_kinds(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
    CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
    CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
    CHECK(elsewhere(try, &mutex) == (void *)EBUSY);
    CHECK(elsewhere(try_until, &mutex) == (void *)ETIMEDOUT);
    CHECK(elsewhere(unlock, &mutex) == (void *)EPERM);
    CHECK(pthread_mutex_destroy(&mutex) == EBUSY);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == EPERM);
    CHECK(pthread_mutex_destroy(&mutex) == 0);

    CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE) == 0);
    CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
    CHECK(pthread_mutex_lock(&mutex) == 0 && pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(elsewhere(try, &mutex) == (void *)EBUSY);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(elsewhere(try, &mutex) == (void *)0);
    CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == ENOTSUP);
}

static void *lock(void *mutex)
{
    return (void *)(long)pthread_mutex_lock(mutex);
}

static void robust_mutexes_outlive_their_owners(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
    CHECK(elsewhere(lock, &mutex) == (void *)0);
    CHECK(pthread_mutex_lock(&mutex) == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(&mutex) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(elsewhere(lock, &mutex) == (void *)0);
    CHECK(pthread_mutex_lock(&mutex) == EOWNERDEAD);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(pthread_mutex_lock(&mutex) == ENOTRECOVERABLE);
}

static void what_a_thread_left_locked_can_be_unlocked(void)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    CHECK(elsewhere(lock, &mutex) == (void *)0);
    CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
    CHECK(pthread_mutex_unlock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == EPERM);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(elsewhere(unlock, &mutex) == (void *)EPERM);
}

static pthread_condattr_t monotonic;

static void times_are_of_the_clock_that_is_said(void)
{
    struct timespec day, machine, until;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;
    clockid_t clock;
    CHECK(clock_gettime(CLOCK_REALTIME, &day) == 0 && clock_gettime(CLOCK_MONOTONIC, &machine) == 0);
    CHECK(day.tv_sec > 1600000000 && machine.tv_sec < 1000000 && time(NULL) - day.tv_sec <= 1);
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_condattr_getclock(&monotonic, &clock) == 0 && clock == CLOCK_MONOTONIC);
    CHECK(pthread_cond_init(&condition, &monotonic) == 0 && pthread_mutex_lock(&mutex) == 0);
    until = machine;
    until.tv_sec++;
    CHECK(pthread_cond_timedwait(&condition, &mutex, &until) == ETIMEDOUT);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &machine) == 0 && machine.tv_sec >= until.tv_sec);
    until = after_ms(50);
    CHECK(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == 0);
    CHECK(clock_gettime(CLOCK_REALTIME, &day) == 0);
    CHECK(day.tv_sec > until.tv_sec || (day.tv_sec == until.tv_sec && day.tv_nsec >= until.tv_nsec));
    CHECK(clock_settime(CLOCK_REALTIME, &day) == -1 && errno == EPERM);
    CHECK(clock_settime(CLOCK_MONOTONIC, &day) == -1 && errno == EINVAL);
}

static pthread_mutex_t box_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t box_full = PTHREAD_COND_INITIALIZER;
static int box;

static void *fill(void *argument)
{
    usleep(10000);
    pthread_mutex_lock(&box_lock);
    box = *(int *)argument;
    pthread_cond_broadcast(&box_full);
    pthread_mutex_unlock(&box_lock);
    return NULL;
}

static void conditions_are_waited_for(void)
{
    pthread_t thread;
    int value = 31;
    box = 0;
    CHECK(pthread_create(&thread, NULL, fill, &value) == 0);
    CHECK(pthread_mutex_lock(&box_lock) == 0);
    while (box == 0)
        CHECK(pthread_cond_wait(&box_full, &box_lock) == 0);
    CHECK(box == 31);
    struct timespec time = after_ms(20);
    CHECK(pthread_cond_timedwait(&box_full, &box_lock, &time) == ETIMEDOUT);
    time.tv_nsec = -1;
    CHECK(pthread_cond_timedwait(&box_full, &box_lock, &time) == EINVAL);
    CHECK(pthread_mutex_unlock(&box_lock) == 0);
    CHECK(pthread_cond_wait(&box_full, &box_lock) == EPERM);
    CHECK(pthread_join(thread, NULL) == 0);
}

static pthread_barrier_t gate;

static void *pass(void *argument)
{
    (void)argument;
    return (void *)(long)pthread_barrier_wait(&gate);
}

static void barriers_open_for_all(void)
{
    pthread_t threads[2];
    CHECK(pthread_barrier_init(&gate, NULL, 0) == EINVAL);
    CHECK(pthread_barrier_init(&gate, NULL, 3) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, pass, NULL) == 0);
    int serial = pthread_barrier_wait(&gate) == PTHREAD_BARRIER_SERIAL_THREAD;
    for (int i = 0; i < 2; i++) {
        void *result;
        CHECK(pthread_join(threads[i], &result) == 0);
        serial += result == (void *)(long)PTHREAD_BARRIER_SERIAL_THREAD;
    }
    CHECK(serial == 1);
    CHECK(pthread_barrier_destroy(&gate) == 0);
}

static pthread_rwlock_t page_lock = PTHREAD_RWLOCK_INITIALIZER;

static void *try_read(void *argument)
{
    (void)argument;
    int result = pthread_rwlock_tryrdlock(&page_lock);
    if (result == 0)
        pthread_rwlock_unlock(&page_lock);
    return (void *)(long)result;
}

static void *write_once(void *argument)
{
    CHECK(pthread_rwlock_wrlock(&page_lock) == 0);
    *(int *)argument = 1;
    CHECK(pthread_rwlock_unlock(&page_lock) == 0);
    return NULL;
}

static void many_read_or_one_writes(void)
{
    pthread_t writer;
    volatile int written = 0;
    CHECK(pthread_rwlock_rdlock(&page_lock) == 0);
    CHECK(elsewhere(try_read, NULL) == (void *)0);
    CHECK(pthread_create(&writer, NULL, write_once, (void *)&written) == 0);
    usleep(10000);
    CHECK(!written);
    CHECK(pthread_rwlock_unlock(&page_lock) == 0);
    CHECK(pthread_join(writer, NULL) == 0 && written);
    CHECK(pthread_rwlock_wrlock(&page_lock) == 0);
    CHECK(elsewhere(try_read, NULL) == (void *)EBUSY);
    struct timespec time = after_ms(10);
    CHECK(pthread_rwlock_timedrdlock(&page_lock, &time) == ETIMEDOUT);
    CHECK(pthread_rwlock_destroy(&page_lock) == EBUSY);
    CHECK(pthread_rwlock_unlock(&page_lock) == 0);
    CHECK(pthread_rwlock_unlock(&page_lock) == EPERM);
}

static void *post(void *semaphore)
{
    usleep(10000);
    sem_post(semaphore);
    return NULL;
}

static void semaphores_count(void)
{
    struct {
        int odd;
        sem_t semaphore;
    } place;
    sem_t *semaphore = &place.semaphore;
    int value;
    CHECK(sem_init(semaphore, 0, (unsigned)-1) == -1 && errno == EINVAL);
    CHECK(sem_init(semaphore, 1, 1) == 0);
    CHECK(sem_wait(semaphore) == 0);
    CHECK(sem_trywait(semaphore) == -1 && errno == EAGAIN);
    struct timespec time = after_ms(20);
    CHECK(sem_timedwait(semaphore, &time) == -1 && errno == ETIMEDOUT);
    time.tv_nsec = 1000000000;
    CHECK(sem_timedwait(semaphore, &time) == -1 && errno == EINVAL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, post, semaphore) == 0);
    CHECK(sem_wait(semaphore) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(sem_post(semaphore) == 0 && sem_post(semaphore) == 0);
    CHECK(sem_getvalue(semaphore, &value) == 0 && value == 2);
    CHECK(sem_destroy(semaphore) == 0);
}

const struct test sync_tests[] = {
    { "c::mutexes_exclude", mutexes_exclude },
    { "c::mutexes_have_kinds", mutexes_have_kinds },
    { "c::robust_mutexes_outlive_their_owners", robust_mutexes_outlive_their_owners },
    { "c::conditions_are_waited_for", conditions_are_waited_for },
    { "c::what_a_thread_left_locked_can_be_unlocked", what_a_thread_left_locked_can_be_unlocked },
    { "c::times_are_of_the_clock_that_is_said", times_are_of_the_clock_that_is_said },
    { "c::barriers_open_for_all", barriers_open_for_all },
    { "c::many_read_or_one_writes", many_read_or_one_writes },
    { "c::semaphores_count", semaphores_count },
    { 0 },
};
