#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CPosix.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { mostPieces = 16 };

size_t lagoon_socket_path_limit(void) { return sizeof(((struct sockaddr_un *)0)->sun_path) - 1; }

static int fill(struct sockaddr_un *address, const char *path) {
  const size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length > lagoon_socket_path_limit()) return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  return 0;
}

int lagoon_socket_connect(const char *path) {
  struct sockaddr_un address;
  int failure = fill(&address, path);
  if (failure != 0) return failure;
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  do {
    failure = connect(descriptor, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
  } while (failure == EINTR);
  if (failure != 0) {
    close(descriptor);
    return -failure;
  }
  return descriptor;
}

int lagoon_socket_listen(const char *path, int backlog) {
  struct sockaddr_un address;
  int failure = fill(&address, path);
  if (failure != 0) return failure;
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -errno;
  if (bind(descriptor, (const struct sockaddr *)&address, sizeof address) != 0) {
    failure = errno;
    close(descriptor);
    return -failure;
  }
  // Nobody can connect before listen(), so the mode holds from the first connection on, whatever the umask.
  if (chmod(path, S_IRUSR | S_IWUSR) != 0 || listen(descriptor, backlog) != 0) {
    failure = errno;
    unlink(path);
    close(descriptor);
    return -failure;
  }
  return descriptor;
}

int lagoon_socket_accept(int listener) {
  int descriptor;
  do {
    descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor < 0 ? -errno : descriptor;
}

int lagoon_socket_peer(int socket, uint32_t *user, int32_t *process) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return -errno;
  if (size != sizeof peer) return -EINVAL;
  *user = (uint32_t)peer.uid;
  *process = (int32_t)peer.pid;
  return 0;
}

static int64_t milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/// Waits for `events` on `count` descriptors until `deadline` (-1: for ever). Returns poll's count (0: too late) or a negated errno.
static int wait_until(struct pollfd *polled, nfds_t count, int64_t deadline) {
  for (;;) {
    int remaining = -1;
    if (deadline >= 0) {
      const int64_t left = deadline - milliseconds();
      remaining = left <= 0 ? 0 : left > 1000000000 ? 1000000000 : (int)left;
    }
    const int ready = poll(polled, count, remaining);
    if (ready >= 0) return ready;
    if (errno != EINTR) return -errno;
  }
}

static int64_t deadline_after(int64_t timeout) { return timeout < 0 ? -1 : milliseconds() + timeout; }

int lagoon_socket_send(int socket, const lagoon_piece *pieces, size_t count, int passed, int64_t timeout) {
  if (count > mostPieces) return -EMSGSIZE;
  struct iovec vectors[mostPieces];
  size_t filled = 0;
  for (size_t i = 0; i < count; i++)
    if (pieces[i].bytes > 0)
      vectors[filled++] = (struct iovec){.iov_base = (void *)pieces[i].start, .iov_len = pieces[i].bytes};

  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control;
  const int64_t deadline = deadline_after(timeout);
  size_t first = 0;
  while (first < filled) {
    struct msghdr message = {.msg_iov = vectors + first, .msg_iovlen = filled - first};
    if (passed >= 0) {
      memset(&control, 0, sizeof control);
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
      struct cmsghdr *const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof passed);
      memcpy(CMSG_DATA(header), &passed, sizeof passed);
    }
    const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
      struct pollfd polled = {.fd = socket, .events = POLLOUT};
      const int ready = wait_until(&polled, 1, deadline);
      if (ready < 0) return ready;
      if (ready == 0) return -ETIMEDOUT;
      continue;
    }
    passed = -1;  // it went with the first byte
    size_t left = (size_t)sent;
    while (first < filled && left >= vectors[first].iov_len) left -= vectors[first++].iov_len;
    if (left > 0) {
      vectors[first].iov_base = (char *)vectors[first].iov_base + left;
      vectors[first].iov_len -= left;
    }
  }
  return 0;
}

/// Keeps the first descriptor of a control message (if `passed` wants one) and closes the others.
static void take_descriptors(struct msghdr *message, int *passed) {
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(header) + i * sizeof descriptor, sizeof descriptor);
      if (*passed < 0)
        *passed = descriptor;
      else
        close(descriptor);
    }
  }
}

int64_t lagoon_socket_receive(int socket, void *destination, size_t bytes, int64_t timeout, int *passed) {
  if (bytes > INT64_MAX) return -EINVAL;
  union {
    char bytes[CMSG_SPACE(4 * sizeof(int))];
    struct cmsghdr aligned;
  } control;
  const int64_t deadline = deadline_after(timeout);
  size_t received = 0;
  while (received < bytes) {
    struct iovec vector = {.iov_base = (char *)destination + received, .iov_len = bytes - received};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (passed != NULL) {
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
    }
    // Poll waits, also without a deadline: a thread that sleeps in recvmsg itself is woken once for nothing, when the peer takes
    // what was sent to it.
    const ssize_t part = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (part == 0) break;
    if (part < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
      struct pollfd polled = {.fd = socket, .events = POLLIN};
      const int ready = wait_until(&polled, 1, deadline);
      if (ready < 0) return ready;
      if (ready == 0) return -ETIMEDOUT;
      continue;
    }
    if (passed != NULL) take_descriptors(&message, passed);
    received += (size_t)part;
  }
  return (int64_t)received;
}

int64_t lagoon_socket_receive_some(int socket, void *destination, size_t bytes) {
  for (;;) {
    const ssize_t received = recv(socket, destination, bytes, MSG_DONTWAIT);
    if (received >= 0) return received;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
    struct pollfd polled = {.fd = socket, .events = POLLIN};
    const int ready = wait_until(&polled, 1, -1);
    if (ready < 0) return ready;
  }
}

int lagoon_socket_is_readable(int socket) {
  char byte;
  // What is wrong with the socket, if anything, the call that reads says.
  return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

int lagoon_wait_readable(int first, int second, int64_t timeout) {
  struct pollfd polled[2] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
  const int ready = wait_until(polled, second >= 0 ? 2 : 1, deadline_after(timeout));
  if (ready <= 0) return ready;
  return (polled[0].revents != 0 ? 1 : 0) | (second >= 0 && polled[1].revents != 0 ? 2 : 0);
}

int lagoon_event_create(void) {
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return event < 0 ? -errno : event;
}

void lagoon_event_raise(int event) {
  const uint64_t one = 1;
  ssize_t written;
  do {
    written = write(event, &one, sizeof one);
  } while (written < 0 && errno == EINTR);
}
