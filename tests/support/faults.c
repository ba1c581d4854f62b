/* Faults of files, for tests: preloaded into the process that forks jobs (support/crashing.py).

   plan() says what happens to which operations: those of some kinds whose path holds a text, counted from 1; before one
   of them the process dies, or it fails with an error, writes half, or waits. What the job does is otherwise unchanged.
   Rust and SQLite write by the same functions as Python. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, NAME = 8 };
enum { NOTHING = 0, KILL = 1, FAIL = 2, SHORT = 3, SLOW = 4 };

struct shared { /* with the process that forked this one */
    long operations;
    char struck[PATH_MAX + 32];
};

static struct shared *shared;
static char holds[PATH_MAX];
static int kinds, action, value;
static long first, last;

__attribute__((constructor)) static void begin(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void plan(const char *text, int which, long from, long to, int what, int how)
{
    snprintf(holds, sizeof holds, "%s", text);
    kinds = which, first = from, last = to, action = what, value = how;
    shared->operations = 0;
    shared->struck[0] = 0;
}

long operations(void) { return shared->operations; }
const char *struck(void) { return shared->struck; }

static void path_of(int descriptor, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
}

static void path_below(int folder, const char *name, char *path)
{
    path[0] = 0;
    if (name[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(path, PATH_MAX))
                path[0] = 0;
        } else
            path_of(folder, path);
        strncat(path, "/", PATH_MAX - strlen(path) - 1);
    }
    strncat(path, name, PATH_MAX - strlen(path) - 1);
}

/* Return what happens to an operation; those that are killed or slow are dealt with here. */
static int strike(int kind, const char *name, const char *path)
{
    if (!(kind & kinds) || !holds[0] || !strstr(path, holds))
        return NOTHING;
    long number = __sync_add_and_fetch(&shared->operations, 1);
    if (number < first || number > last || action == NOTHING)
        return NOTHING;
    if (!shared->struck[0])
        snprintf(shared->struck, sizeof shared->struck, "%s %s", name, path);
    if (action == KILL)
        kill(getpid(), SIGKILL);
    if (action == SLOW) {
        struct timespec wait = {value / 1000, value % 1000 * 1000000L};
        nanosleep(&wait, NULL);
        return NOTHING;
    }
    if (action == FAIL)
        errno = value;
    return action;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) \
        real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int strike_name(const char *what, int folder, const char *name)
{
    char path[PATH_MAX];
    int before = errno;
    path_below(folder, name, path);
    errno = before;
    return strike(NAME, what, path);
}

static int strike_open(int folder, const char *name, int flags)
{
    char path[PATH_MAX];
    int before = errno;
    path_below(folder, name, path);
    errno = before;
    return strike(flags & O_CREAT ? OPEN | NAME : OPEN, "open", path);
}

static int strike_file(int kind, const char *what, int descriptor)
{
    char path[PATH_MAX];
    int before = errno;
    path_of(descriptor, path);
    errno = before;
    return strike(kind, what, path);
}

#define MODE(flags, from) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, from); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPENS(symbol) \
    int symbol(const char *name, int flags, ...) \
    { \
        REAL(int, #symbol, const char *, int, ...); \
        MODE(flags, flags) \
        return strike_open(AT_FDCWD, name, flags) == FAIL ? -1 : real(name, flags, mode); \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(symbol) \
    int symbol(int folder, const char *name, int flags, ...) \
    { \
        REAL(int, #symbol, int, const char *, int, ...); \
        MODE(flags, flags) \
        return strike_open(folder, name, flags) == FAIL ? -1 : real(folder, name, flags, mode); \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t write(int descriptor, const void *bytes, size_t size)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    int found = strike_file(WRITE, "write", descriptor);
    return found == FAIL ? -1 : real(descriptor, bytes, found == SHORT && size > 1 ? size / 2 : size);
}

#define WRITES_AT(symbol, offset_type) \
    ssize_t symbol(int descriptor, const void *bytes, size_t size, offset_type at) \
    { \
        REAL(ssize_t, #symbol, int, const void *, size_t, offset_type); \
        int found = strike_file(WRITE, "write", descriptor); \
        return found == FAIL ? -1 : real(descriptor, bytes, found == SHORT && size > 1 ? size / 2 : size, at); \
    }
WRITES_AT(pwrite, off_t)
WRITES_AT(pwrite64, off64_t)

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    int found = strike_file(WRITE, "write", descriptor);
    return found == FAIL ? -1 : real(descriptor, parts, found == SHORT && count > 1 ? count / 2 : count);
}

#define SENDS(symbol, offset_type) \
    ssize_t symbol(int to, int from, offset_type *at, size_t size) \
    { \
        REAL(ssize_t, #symbol, int, int, offset_type *, size_t); \
        int found = strike_file(WRITE, "write", to); \
        return found == FAIL ? -1 : real(to, from, at, found == SHORT && size > 1 ? size / 2 : size); \
    }
SENDS(sendfile, off_t)
SENDS(sendfile64, off64_t)

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags)
{
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    int found = strike_file(WRITE, "write", to);
    return found == FAIL ? -1 : real(from, at, to, there, found == SHORT && size > 1 ? size / 2 : size, flags);
}

#define SYNCS(symbol) \
    int symbol(int descriptor) \
    { \
        REAL(int, #symbol, int); \
        return strike_file(SYNC, "fsync", descriptor) == FAIL ? -1 : real(descriptor); \
    }
SYNCS(fsync)
SYNCS(fdatasync)

int rename(const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    return strike_name("rename", AT_FDCWD, to) == FAIL ? -1 : real(from, to);
}

int renameat(int folder, const char *from, int there, const char *to)
{
    REAL(int, "renameat", int, const char *, int, const char *);
    return strike_name("rename", there, to) == FAIL ? -1 : real(folder, from, there, to);
}

#define NAMES(symbol) \
    int symbol(const char *name) \
    { \
        REAL(int, #symbol, const char *); \
        return strike_name(#symbol, AT_FDCWD, name) == FAIL ? -1 : real(name); \
    }
NAMES(unlink)
NAMES(rmdir)

int unlinkat(int folder, const char *name, int flags)
{
    REAL(int, "unlinkat", int, const char *, int);
    return strike_name("unlink", folder, name) == FAIL ? -1 : real(folder, name, flags);
}

int mkdir(const char *name, mode_t mode)
{
    REAL(int, "mkdir", const char *, mode_t);
    return strike_name("mkdir", AT_FDCWD, name) == FAIL ? -1 : real(name, mode);
}

int link(const char *from, const char *to)
{
    REAL(int, "link", const char *, const char *);
    return strike_name("link", AT_FDCWD, to) == FAIL ? -1 : real(from, to);
}

int linkat(int folder, const char *from, int there, const char *to, int flags)
{
    REAL(int, "linkat", int, const char *, int, const char *, int);
    return strike_name("link", there, to) == FAIL ? -1 : real(folder, from, there, to, flags);
}

int symlink(const char *from, const char *to)
{
    REAL(int, "symlink", const char *, const char *);
    return strike_name("symlink", AT_FDCWD, to) == FAIL ? -1 : real(from, to);
}
