/*
 * libldap at the work of the benchmark `figures`, by its quickest calls: entries are taken one by one as they come, and
 * their attributes by ldap_get_attribute_ber, as ldapsearch takes them.
 *
 * libldap WORK HOST PORT DN PASSWORD NAMES KIND     WORK: bulk, lookup, pipelined, pool
 * libldap dn FILE ROUNDS                            parses every line of FILE as a DN
 *
 * The last line of its output is the one that the benchmark reads: seconds, processor seconds, KiB of memory, and the median and
 * the 99th percentile of single operations in microseconds.
 */
#include <ldap.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#define SUFFIX "dc=harbourlane,dc=example"
#define IN_FLIGHT 64
#define CONNECTIONS 8

static void die(const char *what, int code) {
    fprintf(stderr, "libldap: %s: %s\n", what, ldap_err2string(code));
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu(long *memory) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (memory != NULL) *memory = usage.ru_maxrss;
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double began, cpu_began;
static double *times;
static size_t timed;
static _Thread_local volatile size_t seen;

static void start(void) {
    began = now();
    cpu_began = cpu(NULL);
}

static int by_size(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static void report(void) {
    long memory;
    double seconds = now() - began, used = cpu(&memory) - cpu_began, p50 = 0, p99 = 0;
    if (timed > 0) {
        qsort(times, timed, sizeof *times, by_size);
        p50 = times[timed / 2] * 1e6;
        p99 = times[timed * 99 / 100] * 1e6;
    }
    printf("figure %f %f %ld %f %f\n", seconds, used, memory, p50, p99);
}

/* Touches the name, every description and every value. */
static void touch(LDAP *ld, LDAPMessage *entry) {
    BerElement *ber = NULL;
    struct berval name, type, *values;
    if (ldap_get_dn_ber(ld, entry, &ber, &name) != LDAP_SUCCESS) die("an entry without a name", LDAP_DECODING_ERROR);
    size_t octets = name.bv_len;
    for (;;) {
        values = NULL;
        if (ldap_get_attribute_ber(ld, entry, ber, &type, &values) != LDAP_SUCCESS || type.bv_val == NULL) break;
        octets += type.bv_len;
        for (struct berval *value = values; value != NULL && value->bv_val != NULL; value++) octets += value->bv_len;
        if (values != NULL) ber_memfree(values);
    }
    ber_free(ber, 0);
    seen += octets;
}

/* Takes one message: 1 for the end of a search. */
static int take(LDAP *ld, int id) {
    LDAPMessage *message = NULL;
    int kind = ldap_result(ld, id, LDAP_MSG_ONE, NULL, &message);
    if (kind == LDAP_RES_SEARCH_ENTRY) touch(ld, message);
    ldap_msgfree(message);
    if (kind <= 0) die("no answer", LDAP_SERVER_DOWN);
    return kind == LDAP_RES_SEARCH_RESULT;
}

static int ask(LDAP *ld, const char *filter, int limit) {
    int id;
    int code = ldap_search_ext(ld, SUFFIX, LDAP_SCOPE_SUBTREE, filter, NULL, 0, NULL, NULL, NULL, limit, &id);
    if (code != LDAP_SUCCESS) die("a search", code);
    return id;
}

/* All lines of a file; their number goes to `count`. */
static char **lines_of(const char *path, size_t *count) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    char **lines = NULL, *line = NULL;
    size_t room = 0, size = 0;
    ssize_t length;
    *count = 0;
    while ((length = getline(&line, &size, file)) > 0) {
        if (line[length - 1] == '\n') line[length - 1] = 0;
        if (*count == room) lines = realloc(lines, (room = room ? room * 2 : 1024) * sizeof *lines);
        lines[(*count)++] = strdup(line);
    }
    free(line);
    fclose(file);
    return lines;
}

static void parse_names(const char *path, int rounds) {
    size_t count;
    char **names = lines_of(path, &count);
    start();
    for (int round = 0; round < rounds; round++) {
        for (size_t at = 0; at < count; at++) {
            LDAPDN dn = NULL;
            int code = ldap_str2dn(names[at], &dn, LDAP_DN_FORMAT_LDAPV3);
            if (code != LDAP_SUCCESS) die(names[at], code);
            seen += dn != NULL;
            ldap_dnfree(dn);
        }
    }
    report();
}

/* `pool`: connections lent to one thread at a time, the last one given back first, as pools over libldap do it. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t given;
    LDAP *free[CONNECTIONS];
    int there;
    char **filters;
    size_t lookups, share;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .given = PTHREAD_COND_INITIALIZER};

static void *look_up(void *argument) {
    size_t from = (size_t)argument * pool.share, to = from + pool.share;
    for (size_t at = from; at < to && at < pool.lookups; at++) {
        double asked = now();
        pthread_mutex_lock(&pool.lock);
        while (pool.there == 0) pthread_cond_wait(&pool.given, &pool.lock);
        LDAP *ld = pool.free[--pool.there];
        pthread_mutex_unlock(&pool.lock);
        int id = ask(ld, pool.filters[at], 2);
        while (!take(ld, id)) {
        }
        pthread_mutex_lock(&pool.lock);
        pool.free[pool.there++] = ld;
        pthread_cond_signal(&pool.given);
        pthread_mutex_unlock(&pool.lock);
        times[at] = now() - asked;
    }
    return NULL;
}

static LDAP *connect_to(char **arguments) {
    char url[256];
    snprintf(url, sizeof url, "ldap://%s:%s", arguments[2], arguments[3]);
    LDAP *ld;
    int code = ldap_initialize(&ld, url), version = 3;
    if (code != LDAP_SUCCESS) die(url, code);
    ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
    struct berval password = {strlen(arguments[5]), arguments[5]};
    code = ldap_sasl_bind_s(ld, arguments[4], LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
    if (code != LDAP_SUCCESS) die("the bind", code);
    return ld;
}

int main(int count, char **arguments) {
    if (count == 4 && strcmp(arguments[1], "dn") == 0) {
        parse_names(arguments[2], atoi(arguments[3]));
        return 0;
    }
    if (count != 8) {
        fputs("libldap: wrong arguments; see its head\n", stderr);
        return 2;
    }
    const char *work = arguments[1];
    LDAP *ld = connect_to(arguments);
    if (strcmp(work, "bulk") == 0) {
        start();
        int id = ask(ld, "(objectClass=*)", 0);
        while (!take(ld, id)) {
        }
        report();
    } else {
        size_t lookups;
        char **names = lines_of(arguments[6], &lookups);
        for (size_t at = 0; at < lookups; at++) {
            char *filter = malloc(strlen(names[at]) + 8);
            sprintf(filter, "(uid=%s)", names[at]);
            free(names[at]);
            names[at] = filter;
        }
        times = calloc(lookups, sizeof *times);
        if (strcmp(work, "pool") == 0) {
            pthread_t threads[IN_FLIGHT];
            pool.filters = names;
            pool.lookups = lookups;
            pool.share = (lookups + IN_FLIGHT - 1) / IN_FLIGHT;
            pool.free[pool.there++] = ld;
            while (pool.there < CONNECTIONS) pool.free[pool.there++] = connect_to(arguments);
            start();
            for (size_t at = 0; at < IN_FLIGHT; at++) {
                if (pthread_create(&threads[at], NULL, look_up, (void *)at) != 0) return 1;
            }
            for (size_t at = 0; at < IN_FLIGHT; at++) pthread_join(threads[at], NULL);
            timed = lookups;
            report();
            return 0;
        }
        start();
        if (strcmp(work, "lookup") == 0) {
            for (timed = 0; timed < lookups; timed++) {
                double asked = now();
                int id = ask(ld, names[timed], 2);
                while (!take(ld, id)) {
                }
                times[timed] = now() - asked;
            }
        } else {
            size_t asked = 0, ended = 0;
            while (ended < lookups) {
                while (asked < lookups && asked - ended < IN_FLIGHT) ask(ld, names[asked++], 2);
                ended += (size_t)take(ld, LDAP_RES_ANY);
            }
        }
        report();
    }
    ldap_unbind_ext_s(ld, NULL, NULL);
    return 0;
}
