/* A member of a closed process group of Corosync, which the benchmark orders about on standard input:
 *
 *     flow SENDS SENDERS BYTES MILLISECONDS      as fast as the group takes messages
 *     paced SENDS BYTES MICROSECONDS MILLISECONDS    one message each so many microseconds
 *
 * SENDS says whether this member sends. It answers with a line of numbers: messages sent, messages received, when it
 * began and when the last message came, in nanoseconds of the system's monotonic clock, and, if paced, how many
 * nanoseconds each message took. Messages are the benchmark's: the first byte says whether a message is its sender's
 * last of a round, the next eight when it was sent. */
#include <corosync/cpg.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MESSAGE_BYTES_MAX = 1 << 20, LATENCIES_MAX = 1 << 20, STAMPED_BYTES_MIN = 9 };
/* Paced messages that are late by more than this are timed from when they were due. */
static const uint64_t FORGIVEN = 2000000;

/* How long to wait where the daemon is not ready. Shorter waits brought less. */
static const uint64_t WAIT = 100000;
/* How long the daemon may take to start. */
static const uint64_t PATIENCE = 10000000000u;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* What the dispatching thread has seen since the last answer. */
static uint64_t received, ended, over;
static uint64_t latencies[LATENCIES_MAX];
static size_t members;

static void fail(const char *what, ...)
{
    va_list rest;
    va_start(rest, what);
    printf("failed: ");
    vprintf(what, rest);
    printf("\n");
    fflush(stdout);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void sleep_until(uint64_t when)
{
    struct timespec time = { (time_t)(when / 1000000000u), (long)(when % 1000000000u) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {
    }
}

static uint64_t stamp_of(const unsigned char *message)
{
    uint64_t stamp = 0;
    for (int byte = 1; byte < STAMPED_BYTES_MIN; byte++)
        stamp = stamp << 8 | message[byte];
    return stamp;
}

static void deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t node, uint32_t process,
                    void *message, size_t bytes)
{
    (void)handle, (void)group, (void)node, (void)process;
    const unsigned char *payload = message;
    pthread_mutex_lock(&lock);
    if (bytes >= STAMPED_BYTES_MIN && received < LATENCIES_MAX)
        latencies[received] = now() - stamp_of(payload);
    received++;
    if (bytes > 0 && payload[0] == 1) {
        ended++;
        over = now();
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
}

static void configure(cpg_handle_t handle, const struct cpg_name *group, const struct cpg_address *member,
                      size_t count, const struct cpg_address *left, size_t left_count,
                      const struct cpg_address *joined, size_t joined_count)
{
    (void)handle, (void)group, (void)member, (void)left, (void)left_count, (void)joined, (void)joined_count;
    pthread_mutex_lock(&lock);
    members = count;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void *dispatch(void *handle)
{
    cs_error_t result = cpg_dispatch(*(cpg_handle_t *)handle, CS_DISPATCH_BLOCKING);
    fail("cpg_dispatch ended with %d", result);
    return NULL;
}

static void send_one(cpg_handle_t handle, unsigned char *message, size_t bytes, int last)
{
    message[0] = (unsigned char)last;
    struct iovec piece = { message, bytes };
    for (;;) {
        cs_error_t result = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &piece, 1);
        if (result == CS_OK)
            return;
        if (result != CS_ERR_TRY_AGAIN)
            fail("cpg_mcast_joined: %d", result);
        /* The daemon has no room, and none before it gets a processor, which may be this one. */
        sleep_until(now() + WAIT);
    }
}

static uint64_t flow(cpg_handle_t handle, unsigned char *message, size_t bytes, uint64_t deadline)
{
    uint64_t sent = 0;
    for (; now() < deadline; sent++)
        send_one(handle, message, bytes, 0);
    send_one(handle, message, bytes, 1);
    return sent + 1;
}

static uint64_t pace(cpg_handle_t handle, unsigned char *message, size_t bytes, uint64_t every, uint64_t deadline)
{
    uint64_t sent = 0, due = now();
    for (int last = 0; !last; due += every) {
        sleep_until(due);
        uint64_t at = now();
        uint64_t from = at - due > (every < FORGIVEN ? every : FORGIVEN) ? due : at;
        last = from >= deadline;
        for (int byte = 1; byte < STAMPED_BYTES_MIN; byte++)
            message[byte] = (unsigned char)(from >> (8 * (STAMPED_BYTES_MIN - 1 - byte)));
        send_one(handle, message, bytes, last);
        sent++;
    }
    return sent;
}

int main(int count, char **args)
{
    static unsigned char message[MESSAGE_BYTES_MAX];
    memset(message, 0x5a, sizeof message);
    size_t wanted = count > 1 ? (size_t)atoi(args[1]) : 0;
    cpg_callbacks_t callbacks = { .cpg_deliver_fn = deliver, .cpg_confchg_fn = configure };
    struct cpg_name group = { .length = 5, .value = "bench" };
    cpg_handle_t handle;
    uint64_t deadline = now() + PATIENCE;
    cs_error_t result;
    while ((result = cpg_initialize(&handle, &callbacks)) != CS_OK && now() < deadline)
        sleep_until(now() + 100 * WAIT);
    if (result != CS_OK)
        fail("cpg_initialize: %d", result);
    while ((result = cpg_join(handle, &group)) == CS_ERR_TRY_AGAIN && now() < deadline)
        sleep_until(now() + 100 * WAIT);
    if (result != CS_OK)
        fail("cpg_join: %d", result);
    pthread_t thread;
    if (pthread_create(&thread, NULL, dispatch, &handle) != 0)
        fail("no thread");
    pthread_mutex_lock(&lock);
    while (members < wanted)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    printf("joined\n");
    fflush(stdout);

    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        unsigned sends = 0, senders = 1, every = 0, length = 0;
        size_t bytes = 0;
        int paced = sscanf(line, "paced %u %zu %u %u", &sends, &bytes, &every, &length) == 4;
        if (!paced && sscanf(line, "flow %u %u %zu %u", &sends, &senders, &bytes, &length) != 4)
            fail("not understood: %s", line);
        if (bytes < 1 || bytes > MESSAGE_BYTES_MAX || (paced && bytes < STAMPED_BYTES_MIN))
            fail("messages of %zu bytes", bytes);
        uint64_t begun = now(), until = begun + (uint64_t)length * 1000000u, sent = 0;
        if (sends)
            sent = paced ? pace(handle, message, bytes, (uint64_t)every * 1000u, until)
                         : flow(handle, message, bytes, until);
        pthread_mutex_lock(&lock);
        while (ended < senders)
            pthread_cond_wait(&changed, &lock);
        printf("%llu %llu %llu %llu", (unsigned long long)sent, (unsigned long long)received,
               (unsigned long long)begun, (unsigned long long)over);
        for (uint64_t each = 0; paced && each < received && each < LATENCIES_MAX; each++)
            printf(" %llu", (unsigned long long)latencies[each]);
        printf("\n");
        fflush(stdout);
        ended -= senders;
        received = 0;
        pthread_mutex_unlock(&lock);
    }
    return 0;
}
