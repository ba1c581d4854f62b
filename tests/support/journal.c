/* A journal of file operations, for tests: preloaded into the process that forks jobs (support/crashing.py), beside the
   faults.

   record() names the file that the journal goes to, and a text that paths hold. From then on every operation on such a
   path that succeeded, and that a power loss may undo, is written down with all its bytes, in order: support/power.py
   tells what a disk may hold when the power fails after any of them. Memory that is mapped is not seen; SQLite maps
   what it makes anew by itself. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct line { /* of the journal; the two paths and the bytes follow */
    char what;
    uint32_t path, other;
    int64_t number, size; /* an offset, a length or a mode; how many bytes */
} __attribute__((packed));

static int journal = -1;
static char holds[PATH_MAX];
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) \
        real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int record(const char *file, const char *text)
{
    snprintf(holds, sizeof holds, "%s", text);
    journal = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    return journal;
}

static void put(const void *bytes, size_t size)
{
    for (const char *from = bytes; size;) {
        ssize_t written = syscall(SYS_write, journal, from, size);
        if (written <= 0)
            abort(); /* half a journal would tell nothing */
        from += written, size -= written;
    }
}

static void note(char what, const char *path, const char *other, int64_t number, const void *bytes, int64_t size)
{
    if (journal < 0 || !strstr(path, holds))
        return;
    int before = errno;
    struct line line = {what, strlen(path), strlen(other), number, size};
    pthread_mutex_lock(&one);
    put(&line, sizeof line), put(path, line.path), put(other, line.other), put(bytes, size);
    pthread_mutex_unlock(&one);
    errno = before;
}

static void path_of(int descriptor, char *path)
{
    char link[64];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
    errno = before;
}

static void path_below(int folder, const char *name, char *path)
{
    path[0] = 0;
    if (name[0] != '/') {
        if (folder != AT_FDCWD)
            path_of(folder, path);
        else if (!getcwd(path, PATH_MAX))
            path[0] = 0;
        strncat(path, "/", PATH_MAX - strlen(path) - 1);
    }
    strncat(path, name, PATH_MAX - strlen(path) - 1);
}

static void note_file(char what, int descriptor, int64_t number, const void *bytes, int64_t size)
{
    char path[PATH_MAX];
    if (journal < 0)
        return;
    path_of(descriptor, path);
    note(what, path, "", number, bytes, size);
}

static void note_names(char what, int folder, const char *name, int there, const char *other)
{
    char path[PATH_MAX], second[PATH_MAX] = "";
    if (journal < 0)
        return;
    path_below(folder, name, path);
    if (other)
        path_below(there, other, second);
    struct stat found;
    int before = errno;
    int64_t mode = strchr("mp", what) && !stat(path, &found) ? found.st_mode & 07777 : 0;
    errno = before;
    note(what, path, second, mode, "", 0);
}

/* Write down bytes that went from file to file, and are read again to know them. */
static void note_copied(int descriptor, int64_t at, ssize_t size)
{
    char link[64], *bytes = malloc(size);
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    int again = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    if (!bytes || again < 0 || pread(again, bytes, size, at) != size)
        abort();
    close(again);
    note_file('w', descriptor, at, bytes, size);
    free(bytes);
}

static int opened(int descriptor, int flags)
{
    struct stat found;
    if (descriptor >= 0 && journal >= 0 && flags & (O_CREAT | O_TRUNC) && !fstat(descriptor, &found) &&
        S_ISREG(found.st_mode))
        note_file(flags & O_TRUNC ? 'c' : 'o', descriptor, found.st_mode & 07777, "", 0);
    return descriptor;
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
        return opened(real(name, flags, mode), flags); \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(symbol) \
    int symbol(int folder, const char *name, int flags, ...) \
    { \
        REAL(int, #symbol, int, const char *, int, ...); \
        MODE(flags, flags) \
        return opened(real(folder, name, flags, mode), flags); \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t write(int descriptor, const void *bytes, size_t size)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    ssize_t written = real(descriptor, bytes, size);
    if (written > 0 && journal >= 0)
        note_file('w', descriptor, lseek(descriptor, 0, SEEK_CUR) - written, bytes, written);
    return written;
}

#define WRITES_AT(symbol, offset_type) \
    ssize_t symbol(int descriptor, const void *bytes, size_t size, offset_type at) \
    { \
        REAL(ssize_t, #symbol, int, const void *, size_t, offset_type); \
        ssize_t written = real(descriptor, bytes, size, at); \
        if (written > 0) \
            note_file('w', descriptor, at, bytes, written); \
        return written; \
    }
WRITES_AT(pwrite, off_t)
WRITES_AT(pwrite64, off64_t)

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    ssize_t written = real(descriptor, parts, count);
    int64_t at = journal < 0 ? 0 : lseek(descriptor, 0, SEEK_CUR) - written, left = written;
    for (int part = 0; journal >= 0 && part < count && left > 0; part++) {
        int64_t size = (int64_t)parts[part].iov_len < left ? (int64_t)parts[part].iov_len : left;
        note_file('w', descriptor, at, parts[part].iov_base, size);
        at += size, left -= size;
    }
    return written;
}

#define SENDS(symbol, offset_type) \
    ssize_t symbol(int to, int from, offset_type *at, size_t size) \
    { \
        REAL(ssize_t, #symbol, int, int, offset_type *, size_t); \
        ssize_t written = real(to, from, at, size); \
        if (written > 0 && journal >= 0) \
            note_copied(to, lseek(to, 0, SEEK_CUR) - written, written); \
        return written; \
    }
SENDS(sendfile, off_t)
SENDS(sendfile64, off64_t)

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags)
{
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    ssize_t written = real(from, at, to, there, size, flags);
    if (written > 0 && journal >= 0)
        note_copied(to, (there ? *there : lseek(to, 0, SEEK_CUR)) - written, written);
    return written;
}

#define TRUNCATES(symbol, offset_type) \
    int symbol(int descriptor, offset_type size) \
    { \
        REAL(int, #symbol, int, offset_type); \
        int found = real(descriptor, size); \
        if (!found) \
            note_file('t', descriptor, size, "", 0); \
        return found; \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

#define SYNCS(symbol) \
    int symbol(int descriptor) \
    { \
        REAL(int, #symbol, int); \
        int found = real(descriptor); \
        if (!found) \
            note_file('s', descriptor, 0, "", 0); \
        return found; \
    }
SYNCS(fsync)
SYNCS(fdatasync)

#define CHANGES(what, symbol, parameters, values, folder, name, there, other) \
    int symbol parameters \
    { \
        static int(*real) parameters; \
        if (!real) \
            real = (int(*) parameters)dlsym(RTLD_NEXT, #symbol); \
        int found = real values; \
        if (!found) \
            note_names(what, folder, name, there, other); \
        return found; \
    }
CHANGES('r', rename, (const char *from, const char *to), (from, to), AT_FDCWD, from, AT_FDCWD, to)
CHANGES('r', renameat, (int folder, const char *from, int there, const char *to), (folder, from, there, to), folder, from, there, to)
CHANGES('u', unlink, (const char *name), (name), AT_FDCWD, name, 0, NULL)
CHANGES('u', rmdir, (const char *name), (name), AT_FDCWD, name, 0, NULL)
CHANGES('u', unlinkat, (int folder, const char *name, int flags), (folder, name, flags), folder, name, 0, NULL)
CHANGES('m', mkdir, (const char *name, mode_t mode), (name, mode), AT_FDCWD, name, 0, NULL)
CHANGES('p', chmod, (const char *name, mode_t mode), (name, mode), AT_FDCWD, name, 0, NULL)
CHANGES('p', fchmodat, (int folder, const char *name, mode_t mode, int flags), (folder, name, mode, flags), folder, name, 0, NULL)
CHANGES('l', link, (const char *from, const char *to), (from, to), AT_FDCWD, to, AT_FDCWD, from)
CHANGES('l', linkat, (int folder, const char *from, int there, const char *to, int flags), (folder, from, there, to, flags), there, to, folder, from)

int symlink(const char *target, const char *name)
{
    REAL(int, "symlink", const char *, const char *);
    int found = real(target, name);
    if (!found && journal >= 0) {
        char path[PATH_MAX];
        path_below(AT_FDCWD, name, path);
        note('y', path, target, 0, "", 0);
    }
    return found;
}
