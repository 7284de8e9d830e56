#pragma once
#include <stddef.h>
#include <stdint.h>

/// The longest socket path in bytes, without its terminating zero.
size_t lagoon_socket_path_limit(void);

/// Connects to the Unix stream socket at `path`. Returns a descriptor (close-on-exec) or a negated errno
/// (ENAMETOOLONG, ENOENT, ECONNREFUSED, EACCES, ...).
int lagoon_socket_connect(const char *path);

/// Binds a Unix stream socket at `path`, readable and writable by its owner alone, and listens.
/// Returns a descriptor (close-on-exec, non-blocking) or a negated errno (EADDRINUSE: a file is there already).
int lagoon_socket_listen(const char *path, int backlog);

/// Accepts a waiting connection: a descriptor (close-on-exec), or a negated errno (EAGAIN: none waits).
int lagoon_socket_accept(int listener);

/// The user and process at the other end of a connection, as the kernel recorded them when it was made (SO_PEERCRED).
/// Returns 0 or a negated errno.
int lagoon_socket_peer(int socket, uint32_t *user, int32_t *process);

/// A piece of memory to send.
typedef struct {
  const void *start;
  size_t bytes;
} lagoon_piece;

/// Sends all pieces in order, and `passed` (a descriptor, or -1 for none) with the first byte, never raising SIGPIPE.
/// Gives up after `timeout` milliseconds in all (-1: never).
/// Returns 0 or a negated errno (EPIPE: the peer is gone; ETIMEDOUT; EMSGSIZE: more than 16 pieces).
int lagoon_socket_send(int socket, const lagoon_piece *pieces, size_t count, int passed, int64_t timeout);

/// Receives exactly `bytes` bytes unless the peer ends the stream first; gives up after `timeout` milliseconds in all
/// (-1: never). A descriptor that comes along is stored in `*passed` (which the caller set to -1) when `passed` is not NULL
/// and discarded when it is.
/// Returns the bytes received (fewer than asked for: end of stream) or a negated errno (ETIMEDOUT, ECONNRESET, ...), with
/// what had arrived by then lost.
int64_t lagoon_socket_receive(int socket, void *destination, size_t bytes, int64_t timeout, int *passed);

/// Receives what is there, at most `bytes` bytes, waiting for the first of them for ever.
/// Returns the bytes received (0: end of stream) or a negated errno.
int64_t lagoon_socket_receive_some(int socket, void *destination, size_t bytes);

/// Whether there is something to read (or the end of the stream, or an error) now: 1 or 0.
int lagoon_socket_is_readable(int socket);

/// Waits until there is something to read (or the end of the stream) on `first`, or on `second` when that is not -1.
/// Returns a mask (1: first, 2: second, 0: `timeout` milliseconds passed) or a negated errno.
int lagoon_wait_readable(int first, int second, int64_t timeout);

/// A descriptor (close-on-exec) that is not readable until lagoon_event_raise(), and from then on is. Or a negated errno.
int lagoon_event_create(void);

/// Makes an event's descriptor readable for good. Safe from any thread, any number of times.
void lagoon_event_raise(int event);
