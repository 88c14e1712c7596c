/* Signals: actions, masks, waiting, exceptions, alarms, other processes; and cancelling threads. */
#include "test.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t count, last;
static volatile pthread_t by_whom;
static siginfo_t told;

static void note(int signal)
{
    count++;
    last = signal;
    by_whom = pthread_self();
}

static void note_info(int signal, siginfo_t *info, void *context)
{
    (void)context;
    note(signal);
    told = *info;
}

static void handle(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK(sigemptyset(&action.sa_mask) == 0);
    CHECK(sigaction(signal, &action, NULL) == 0);
    count = last = 0;
}

static sigset_t set_of(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void handlers_run_before_raise_returns(void)
{
    struct sigaction old;
    handle(SIGUSR1, note, 0);
    CHECK(raise(SIGUSR1) == 0 && count == 1 && last == SIGUSR1);
    CHECK(kill(getpid(), SIGUSR1) == 0 && count == 2);
    CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0 && count == 3);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == note);
    CHECK(signal(SIGUSR1, SIG_IGN) == note);
    CHECK(raise(SIGUSR1) == 0 && count == 3);
    CHECK(sigaction(SIGKILL, &old, NULL) == -1 && errno == EINVAL);
    CHECK(sigaction(0, NULL, &old) == -1 && errno == EINVAL);
    CHECK(sigaction(65, NULL, &old) == -1 && errno == EINVAL);
    CHECK(raise(65) == -1 && errno == EINVAL);
    CHECK(kill(getpid(), 0) == 0 && kill(getpid(), -1) == -1 && errno == EINVAL);
    handle(SIGUSR1, note, SA_RESETHAND);
    CHECK(raise(SIGUSR1) == 0 && count == 1);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
}

static volatile int depth, deepest;

static void raise_again(int signal)
{
    if (++depth > deepest)
        deepest = depth;
    if (count++ == 0)
        raise(signal);
    depth--;
}

static void what_is_blocked_is_pending(void)
{
    sigset_t set = set_of(SIGUSR2), old, pending;
    handle(SIGUSR2, note, 0);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0 && !sigismember(&old, SIGUSR2));
    CHECK(raise(SIGUSR2) == 0 && raise(SIGUSR2) == 0 && count == 0);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2) && !sigismember(&pending, SIGUSR1));
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && count == 1);
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR2));
    CHECK(sigprocmask(99, &set, NULL) == -1 && errno == EINVAL);
    CHECK(pthread_sigmask(99, &set, NULL) == EINVAL);
    /* A handler blocks its own signal, unless it says that it does not. */
    handle(SIGUSR2, raise_again, 0);
    depth = deepest = 0;
    CHECK(raise(SIGUSR2) == 0 && count == 2 && deepest == 1);
    handle(SIGUSR2, raise_again, SA_NODEFER);
    CHECK(raise(SIGUSR2) == 0 && count == 2 && deepest == 2);
}

static void queued_signals_carry_values(void)
{
    sigset_t set = set_of(SIGRTMIN), old;
    struct sigaction action = {.sa_sigaction = note_info, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
    count = 0;
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    for (int i = 1; i <= 3; i++)
        CHECK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}) == 0);
    siginfo_t info;
    CHECK(sigwaitinfo(&set, &info) == SIGRTMIN && info.si_value.sival_int == 1 && info.si_code == SI_QUEUE);
    CHECK(info.si_pid == getpid() && info.si_uid == getuid());
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && count == 2 && told.si_value.sival_int == 3);
    struct timespec soon = {0, 10000000}, nonsense = {0, 1000000000};
    CHECK(sigtimedwait(&set, &info, &soon) == -1 && errno == EAGAIN);
    CHECK(sigtimedwait(&set, &info, &nonsense) == -1 && errno == EINVAL);
}

static volatile int stop;

static void *spin(void *argument)
{
    volatile double sum = 1.5;
    long turns = 0;
    (void)argument;
    while (!stop) {
        turns++;
        sum = sum * 3.0 / 3.0;
    }
    return sum == 1.5 && turns > 0 ? NULL : (void *)1;
}

static void calculate(int signal)
{
    volatile double other = 0.1;
    for (int i = 0; i < 10; i++)
        other = other * 1.1;
    note(signal);
}

/* A handler runs in a thread that computes, and changes nothing of what it computes. */
static void a_running_thread_is_interrupted(void)
{
    pthread_t thread;
    void *result;
    handle(SIGUSR1, calculate, 0);
    stop = 0;
    CHECK(pthread_create(&thread, NULL, spin, NULL) == 0);
    for (int i = 1; i <= 20; i++) {
        CHECK(pthread_kill(thread, SIGUSR1) == 0);
        for (int ms = 0; count < i && ms < 2000; ms++)
            pause_ms(1);
        CHECK(count == i && pthread_equal(by_whom, thread));
    }
    stop = 1;
    CHECK(pthread_join(thread, &result) == 0 && result == NULL);
    CHECK(pthread_kill(thread, 0) == ESRCH);
}

static sem_t semaphore;

static void *wait_for_semaphore(void *argument)
{
    (void)argument;
    return (void *)(long)(sem_wait(&semaphore) == 0 ? 0 : errno);
}

static void *interrupt_wait(int flags, int post)
{
    pthread_t thread;
    void *result;
    handle(SIGUSR1, note, flags);
    CHECK(sem_init(&semaphore, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, wait_for_semaphore, NULL) == 0);
    pause_ms(20);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    for (int ms = 0; count == 0 && ms < 2000; ms++)
        pause_ms(1);
    CHECK(count == 1);
    if (post)
        CHECK(sem_post(&semaphore) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

static void waits_end_with_eintr_or_go_on(void)
{
    CHECK(interrupt_wait(0, 0) == (void *)EINTR);
    CHECK(interrupt_wait(SA_RESTART, 1) == NULL);
}

static void alarms_ring(void)
{
    struct timespec long_time = {5, 0}, left = {0, 0};
    struct itimerval timer = {.it_value = {0, 20000}}, old;
    handle(SIGALRM, note, 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK(nanosleep(&long_time, &left) == -1 && errno == EINTR);
    CHECK(count == 1 && left.tv_sec == 4);
    timer.it_interval.tv_usec = 10000;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    for (int i = 0; count < 4 && i < 100; i++)
        pause();
    CHECK(count >= 4);
    CHECK(alarm(100) <= 1 && alarm(0) == 100);
    CHECK(setitimer(ITIMER_REAL, &timer, &old) == 0 && old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
    memset(&timer, 0, sizeof timer);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0 && getitimer(ITIMER_REAL, &old) == 0);
    CHECK(old.it_value.tv_usec == 0);
    CHECK(setitimer(ITIMER_VIRTUAL, &timer, NULL) == -1 && errno == EINVAL);
}

static void sigsuspend_waits_with_another_mask(void)
{
    sigset_t set = set_of(SIGALRM), none, mask;
    struct itimerval timer = {.it_value = {0, 10000}};
    sigemptyset(&none);
    handle(SIGALRM, note, 0);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    pause_ms(30);
    CHECK(count == 0);
    CHECK(sigsuspend(&none) == -1 && errno == EINTR && count == 1);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGALRM));
    int signal;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK(sigwait(&set, &signal) == 0 && signal == SIGALRM && count == 1);
    CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

static sigjmp_buf way_out;

static void leave(int signal, siginfo_t *info, void *context)
{
    note_info(signal, info, context);
    siglongjmp(way_out, 1);
}

static void catch(int signal, int flags)
{
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO | flags};
    CHECK(sigaction(signal, &action, NULL) == 0);
    count = 0;
}

static volatile int seven = 7, zero;

static int overflow(volatile char *above)
{
    volatile char here[4096];
    here[0] = above ? above[0] : 1;
    return seven == 7 ? overflow(here) + here[0] : 0;
}

static void exceptions_are_signals(void)
{
    catch(SIGSEGV, 0);
    if (sigsetjmp(way_out, 1) == 0)
        *(volatile int *)0x1234 = 1;
    CHECK(count == 1 && last == SIGSEGV && told.si_addr == (void *)0x1234 && told.si_code == SEGV_MAPERR);
    if (sigsetjmp(way_out, 1) == 0)
        *(volatile char *)"constant" = 1;
    CHECK(count == 2 && told.si_code == SEGV_ACCERR);
    catch(SIGFPE, 0);
    if (sigsetjmp(way_out, 1) == 0)
        last = seven / zero;
    CHECK(count == 1 && last == SIGFPE && told.si_code == FPE_INTDIV);
    catch(SIGILL, 0);
    if (sigsetjmp(way_out, 1) == 0)
        __asm__ volatile("ud2");
    CHECK(count == 1 && last == SIGILL);
    signal(SIGFPE, SIG_DFL);
    signal(SIGILL, SIG_DFL);
}

static void a_stack_that_is_full_leaves_another(void)
{
    static char other[SIGSTKSZ];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other}, old;
    CHECK(sigaltstack(&stack, NULL) == 0);
    CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == other && old.ss_flags == 0);
    catch(SIGSEGV, SA_ONSTACK);
    if (sigsetjmp(way_out, 1) == 0)
        overflow(NULL);
    CHECK(count == 1 && last == SIGSEGV);
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0);
    stack.ss_flags = 0, stack.ss_size = 1;
    CHECK(sigaltstack(&stack, NULL) == -1 && errno == ENOMEM);
    signal(SIGSEGV, SIG_DFL);
}

/* How a child ends that does this. */
static int end_of(void (*what)(void))
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        what();
        _exit(7);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void raise_term(void) { raise(SIGTERM); }
static int *volatile nowhere = (int *)8;
static void touch_nothing(void) { *nowhere = 1; }
static void nothing(void) { }

static void touch_nothing_having_a_handler(void)
{
    signal(SIGUSR1, note);
    touch_nothing();
}

static void signals_end_processes(void)
{
    int status = end_of(abort);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = end_of(raise_term);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    status = end_of(touch_nothing);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = end_of(touch_nothing_having_a_handler);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = end_of(nothing);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void exit_with_count(int signal)
{
    (void)signal;
    _exit(42);
}

static void children_and_parents_send_to_each_other(void)
{
    int status;
    struct sigaction action = {.sa_sigaction = note_info, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGCHLD, &action, NULL) == 0);
    signal(SIGUSR2, exit_with_count);
    count = 0;
    pid_t child = fork();
    if (child == 0) {
        kill(getppid(), SIGUSR1);
        for (;;)
            pause();
    }
    for (int ms = 0; count == 0 && ms < 2000; ms++)
        pause_ms(1);
    CHECK(count == 1 && last == SIGUSR1 && told.si_pid == child && told.si_code == SI_USER);
    CHECK(kill(child, 0) == 0 && kill(child, SIGUSR2) == 0);
    while (waitpid(child, &status, 0) == -1)
        CHECK(errno == EINTR);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(count == 2 && last == SIGCHLD && told.si_pid == child && told.si_status == 42);
    CHECK(kill(child, 0) == -1 && errno == ESRCH);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);

    child = fork();
    if (child == 0)
        for (;;)
            pause_ms(1000);
    CHECK(kill(child, SIGTERM) == 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_IGN);
        for (;;)
            pause_ms(1000);
    }
    pause_ms(20);
    CHECK(kill(child, SIGTERM) == 0 && waitpid(child, &status, WNOHANG) == 0);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(kill(1, 0) == -1 && errno == EPERM);
}

static int cleaned;

static void clean(void *argument)
{
    cleaned += *(int *)argument;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static void unlock(void *mutex)
{
    cleaned += pthread_mutex_unlock(mutex) == 0;
}

static void *wait_on_condition(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(unlock, &lock);
    for (;;)
        pthread_cond_wait(&condition, &lock);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *sleep_long(void *argument)
{
    int one = 1;
    pthread_cleanup_push(clean, &one);
    pthread_cleanup_push(clean, argument);
    pause_ms(100000);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *never_at_a_point(void *argument)
{
    int old;
    (void)argument;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    for (;;)
        ;
    return NULL;
}

static volatile int disabled, tested;

static void *not_now(void *argument)
{
    int old;
    (void)argument;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    disabled = old == PTHREAD_CANCEL_ENABLE;
    pause_ms(60);
    tested = 1;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pthread_testcancel();
    return NULL;
}

static void *wait_semaphore(void *argument)
{
    (void)argument;
    sem_wait(&semaphore);
    return NULL;
}

static void *cancelled(void *(*what)(void *), void *argument)
{
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, what, argument) == 0);
    pause_ms(20);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

static void threads_are_cancelled(void)
{
    int two = 2;
    cleaned = 0;
    CHECK(cancelled(sleep_long, &two) == PTHREAD_CANCELED && cleaned == 3);
    cleaned = 0;
    CHECK(cancelled(wait_on_condition, NULL) == PTHREAD_CANCELED && cleaned == 1);
    CHECK(pthread_mutex_trylock(&lock) == 0 && pthread_mutex_unlock(&lock) == 0);
    CHECK(cancelled(never_at_a_point, NULL) == PTHREAD_CANCELED);
    CHECK(sem_init(&semaphore, 0, 0) == 0);
    CHECK(cancelled(wait_semaphore, NULL) == PTHREAD_CANCELED);
    CHECK(cancelled(not_now, NULL) == PTHREAD_CANCELED && disabled && tested);
    CHECK(pthread_setcancelstate(5, NULL) == EINVAL && pthread_setcanceltype(5, NULL) == EINVAL);
}

const struct test signal_tests[] = {
    { "c::handlers_run_before_raise_returns", handlers_run_before_raise_returns },
    { "c::what_is_blocked_is_pending", what_is_blocked_is_pending },
    { "c::queued_signals_carry_values", queued_signals_carry_values },
    { "c::a_running_thread_is_interrupted", a_running_thread_is_interrupted },
    { "c::waits_end_with_eintr_or_go_on", waits_end_with_eintr_or_go_on },
    { "c::alarms_ring", alarms_ring },
    { "c::sigsuspend_waits_with_another_mask", sigsuspend_waits_with_another_mask },
    { "c::exceptions_are_signals", exceptions_are_signals },
    { "c::a_stack_that_is_full_leaves_another", a_stack_that_is_full_leaves_another },
    { "c::signals_end_processes", signals_end_processes },
    { "c::children_and_parents_send_to_each_other", children_and_parents_send_to_each_other },
    { "c::threads_are_cancelled", threads_are_cancelled },
    { 0 },
};
