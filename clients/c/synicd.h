/*
 * synicd.h: runs a driver's real functions in user space against a partition on a synicd server.
 *
 * One file, C99 or C++11, nothing but libc and POSIX. It is stb-style: every file includes it and sees
 * prototypes and two standard headers; exactly one file says first, before any other include,
 *
 *     #define SYNICD_IMPLEMENTATION
 *     #include "synicd.h"
 *
 * Static inline functions would spare that line, but would pull <sys/socket.h>, <netdb.h> and feature-test
 * macros into every file of the driver, where they meet the driver's own u64, min(), list_head and the
 * kernel headers it brings along. So the sockets stay in one file, and the driver's files stay the driver's.
 *
 * A `struct synicd` is one actor (a driver) at one partition, on one keep-alive connection. One thread uses
 * it at a time; give each driver, and each thread, one of its own. Calls wait for the answer: when one
 * returns, the op has been applied and everything it caused is visible. clients/c/README.md shows a port.
 *
 * License: Apache-2.0.
 */
#ifndef SYNICD_H
#define SYNICD_H

#if defined(SYNICD_IMPLEMENTATION) && defined(__STRICT_ANSI__) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What calls return: 0 if it worked, else a negative number. Only #GP and #UD are news from the machine to
 * the guest; for the others `error` of the struct has a sentence, which is also logged. An errno that the
 * simulated ioctl or access gave (-EFAULT of synicd_cas on no memory, say) is returned as it is.
 */
#define SYNICD_GP (-5)         /* #GP. It is -EIO, what Linux's rdmsrl_safe and wrmsrl_safe return for it. */
#define SYNICD_UD (-1008)      /* #UD: a hypercall before the hypercall page is enabled. */
#define SYNICD_REFUSED (-1022) /* A mistake in the request; nothing was changed. */
#define SYNICD_GONE (-1032)    /* No server, no whole answer in time, or not HTTP as synicd speaks it. */
#define SYNICD_EXITED (-1038)  /* The hypercall is the VMM's to answer (KVM profiles); no status yet. */

#define SYNICD_PAGE_BYTES 4096u
#define SYNICD_ID_BYTES 65
#define SYNICD_NO_GPA UINT64_MAX

struct synicd_shadow;

/* A growing buffer. */
struct synicd_text {
	char *at;
	size_t length, room;
	int failed; /* Memory ran out; stays set until the text is emptied. */
};

struct synicd {
	char error[512];            /* Why the last call failed. */
	int timeout_ms;             /* For one request and its answer; 10,000 unless changed after opening. */
	char id[SYNICD_ID_BYTES];   /* The partition. */
	char actor[SYNICD_ID_BYTES];

	/* The rest is private. */
	int fd, keep_alive_s, status;
	uint64_t idle_since_ms;
	char host[256], port[8];
	struct synicd_text in, out, body, op;
	size_t reply_at, reply_bytes;
	struct synicd_shadow *shadows;
};

/* One vCPU as this actor uses it; cheap, by value. */
struct synicd_vcpu {
	struct synicd *partition;
	unsigned index;
};

/* Set the members you mean, zero the rest. */
struct synicd_config {
	const char *id;      /* NULL: the server picks one; it is in `id` of the struct afterwards. */
	const char *kind;    /* "guest" (NULL), "root", "nested_root", "l1vh" */
	const char *profile; /* "tlfs" (NULL), "kvm-synic", "kvm-synic2", "kvm", "qemu", "openvmm" */
	const char *clock;   /* "virtual" (NULL): only synicd_advance moves it; "realtime" */
	unsigned vcpus;      /* 0 means 1. */
	const char *options; /* JSON, such as "{\"disabled_write\":\"fault\"}"; NULL: none */
};

/* Where sentences about failures go; NULL is standard error again. One for the process. */
void synicd_log_to(void (*log)(void *context, const char *sentence), void *context);

/* Both fill *p whatever was in it; after a failure nothing needs closing (but may be closed). */
int synicd_open(struct synicd *p, const char *url, const char *partition, const char *actor);
int synicd_create(struct synicd *p, const char *url, const char *actor, const struct synicd_config *config);
/* Closes the connection and frees the shadows; the partition stays. */
void synicd_close(struct synicd *p);
/* Deletes the partition, for everybody; synicd_close is still due. */
int synicd_delete(struct synicd *p);

struct synicd_vcpu synicd_cpu(struct synicd *p, unsigned index);

/* Steps of the machine, in its log with the actor. *value is 0 after a failure, as rdmsrl_safe leaves it. */
int synicd_rdmsr(struct synicd_vcpu cpu, uint32_t msr, uint64_t *value);
int synicd_wrmsr(struct synicd_vcpu cpu, uint32_t msr, uint64_t value);

/* Guest memory. A transfer is one piece to other actors up to 1 MiB; a longer one is several. */
int synicd_read(struct synicd *p, uint64_t gpa, void *to, size_t bytes);
int synicd_write(struct synicd *p, uint64_t gpa, const void *from, size_t bytes);

/*
 * A shadow: a local, page-aligned copy of guest pages, for code that wants a pointer (memremap, a page of its
 * own). It is a copy, and only these calls move anything: synicd_map fills it, synicd_pull fetches a part
 * again (before you read what the hypervisor or another driver may have written: a message slot, flags),
 * synicd_push stores a part (after you wrote to it, before anyone else should see it). Push no more than you
 * wrote: the rest of the copy is old, and would undo what others did. Where the driver is atomic, neither
 * is enough: use synicd_cas or synicd_xchg at synicd_gpa of the pointer, then pull.
 * synicd_map returns NULL after a failure.
 */
void *synicd_map(struct synicd *p, uint64_t gpa, size_t pages);
int synicd_pull(struct synicd *p, void *in_shadow, size_t bytes);
int synicd_push(struct synicd *p, const void *in_shadow, size_t bytes);
uint64_t synicd_gpa(struct synicd *p, const void *in_shadow); /* SYNICD_NO_GPA if it is in none. */
void synicd_unmap(struct synicd *p, void *shadow);

/* Atomic on guest memory; size is 1, 4 or 8. *old (may be NULL) is the content before: it was stored if, and
 * only if, that is what was expected. Shadows are not touched. */
int synicd_cas(struct synicd *p, uint64_t gpa, unsigned size, uint64_t expected, uint64_t desired,
	       uint64_t *old);
int synicd_xchg(struct synicd *p, uint64_t gpa, unsigned size, uint64_t desired, uint64_t *old);

/* Takes the highest deliverable interrupt, as the CPU does; asks again until one comes. After timeout_ms
 * without one *vector is -1, and 0 is returned. A timeout of 0 asks once, a negative one waits for ever. */
int synicd_wait_interrupt(struct synicd_vcpu cpu, int timeout_ms, int *vector);
int synicd_eoi(struct synicd_vcpu cpu);
/* Frees a message slot as vmbus_signal_eom does: its type to 0, then EOM if more was pending. */
int synicd_complete(struct synicd_vcpu cpu, unsigned sint);

/* *status is all of RAX: HV_STATUS in bits 0-15, reps done in bits 32-43. It is what the hypercall returned,
 * so 0 from the call does not mean that the hypercall worked. For a fast one the GPAs are the two inputs. */
int synicd_hypercall(struct synicd_vcpu cpu, uint64_t control, uint64_t input_gpa, uint64_t output_gpa,
		     uint64_t *status);
/* The same two hypercalls without a page for the input; at most 240 bytes. */
int synicd_post_message(struct synicd_vcpu cpu, uint32_t connection, uint32_t type, const void *payload,
			size_t bytes, uint64_t *status);
int synicd_signal_event(struct synicd_vcpu cpu, uint32_t connection, uint32_t flag, uint64_t *status);

/* Moves a virtual clock on, by ticks of 100 ns. */
int synicd_advance(struct synicd *p, uint64_t ticks);

/* The actor starts, and says which registers are its own: "SIMP,SIEFP,SINT2", "v1.SINT0" for vCPU 1 alone.
 * synicd_detach ends it, and its claims. */
int synicd_claim(struct synicd *p, const char *claims);
int synicd_detach(struct synicd *p);

/* What the auditor found, as JSON text, always ended with a 0; like snprintf returns the length of the whole
 * text, so `bytes` or more means it was cut off. Negative after a failure. */
long synicd_violations(struct synicd *p, char *buffer, size_t bytes);

/* Any op of the contract as JSON; its result as JSON text, as above. A #GP of the op is in the result. */
long synicd_op(struct synicd *p, const char *op_json, char *buffer, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif /* SYNICD_H */

#if defined(SYNICD_IMPLEMENTATION) && !defined(SYNICD_IMPLEMENTED)
#define SYNICD_IMPLEMENTED

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#ifndef AI_NUMERICSERV
#error "Where SYNICD_IMPLEMENTATION is defined include synicd.h first, or use -D_POSIX_C_SOURCE=200809L"
#endif
#ifdef MSG_NOSIGNAL
#define SYNICD__SEND_FLAGS MSG_NOSIGNAL
#else
#define SYNICD__SEND_FLAGS 0 /* macOS: SO_NOSIGPIPE instead */
#endif
#if defined(__GNUC__)
#define SYNICD__FORMAT(at) __attribute__((format(printf, at, at + 1)))
#else
#define SYNICD__FORMAT(at)
#endif

#define SYNICD__TIMEOUT_MS 10000
#define SYNICD__HEAD_MAX ((size_t)64 << 10)
#define SYNICD__REPLY_MAX ((size_t)64 << 20)
#define SYNICD__TRANSFER_MAX ((size_t)1 << 20)
#define SYNICD__PAYLOAD_MAX ((size_t)240)
#define SYNICD__POLL_MAX_US 10000

struct synicd_shadow {
	struct synicd_shadow *next;
	uint64_t gpa;
	size_t bytes;
	unsigned char *at;
};

/* --- Failures ---------------------------------------------------------------------------------------- */

static void (*synicd__log)(void *, const char *);
static void *synicd__log_context;

void synicd_log_to(void (*log)(void *context, const char *sentence), void *context)
{
	synicd__log = log;
	synicd__log_context = context;
}

SYNICD__FORMAT(3) static int synicd__fail(struct synicd *p, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(p->error, sizeof(p->error), format, arguments);
	va_end(arguments);
	if (synicd__log != NULL)
		synicd__log(synicd__log_context, p->error);
	else
		fprintf(stderr, "synicd: %s\n", p->error);
	return code;
}

/* --- Growing text ------------------------------------------------------------------------------------ */

static void synicd__empty(struct synicd_text *text)
{
	text->length = 0;
	text->failed = 0;
}

/* Room for `more` bytes and a 0 behind them. */
static int synicd__reserve(struct synicd_text *text, size_t more)
{
	size_t room = text->room < 512 ? 512 : text->room;
	char *at;

	if (text->failed || more >= SIZE_MAX / 4 - text->length)
		return text->failed = 1;
	while (room < text->length + more + 1)
		room *= 2;
	if (room == text->room)
		return 0;
	at = (char *)realloc(text->at, room);
	if (at == NULL)
		return text->failed = 1;
	text->at = at;
	text->room = room;
	return 0;
}

static void synicd__add_bytes(struct synicd_text *text, const void *from, size_t bytes)
{
	if (synicd__reserve(text, bytes) != 0)
		return;
	if (bytes != 0)
		memcpy(text->at + text->length, from, bytes);
	text->length += bytes;
	text->at[text->length] = 0;
}

static void synicd__add_list(struct synicd_text *text, const char *format, va_list arguments)
{
	va_list again;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0 || synicd__reserve(text, (size_t)length) != 0) {
		text->failed = 1;
		return;
	}
	vsnprintf(text->at + text->length, (size_t)length + 1, format, arguments);
	text->length += (size_t)length;
}

SYNICD__FORMAT(2) static void synicd__add(struct synicd_text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	synicd__add_list(text, format, arguments);
	va_end(arguments);
}

/* --- JSON: finds members in a reply, and nothing more ------------------------------------------------ */

struct synicd__span {
	const char *at, *end;
};

static const char *synicd__blank(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

/* Behind the string that begins at `at`; NULL if it has no end. */
static const char *synicd__string_end(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '"')
			return at + 1;
		if (*at == '\\')
			at++;
	}
	return NULL;
}

/* Behind the value that begins at `at`; NULL if it has no end. Nesting is counted, not followed. */
static const char *synicd__value_end(const char *at, const char *end)
{
	const char *from = at;
	size_t depth = 0;

	while (at < end) {
		if (*at == '"') {
			at = synicd__string_end(at, end);
			if (at == NULL || depth == 0)
				return at;
			continue;
		}
		if (*at == '{' || *at == '[') {
			depth++;
		} else if (*at == '}' || *at == ']') {
			if (depth == 0)
				break;
			if (--depth == 0)
				return at + 1;
		} else if (depth == 0 && (*at == ',' || synicd__blank(at, at + 1) != at)) {
			break;
		}
		at++;
	}
	return depth == 0 && at > from ? at : NULL;
}

static int synicd__member(struct synicd__span object, const char *name, struct synicd__span *value)
{
	const char *at = synicd__blank(object.at, object.end), *end = object.end, *key, *key_end;

	if (at == end || *at != '{')
		return 0;
	do {
		key = synicd__blank(at + 1, end);
		if (key == end || *key != '"')
			return 0;
		key_end = synicd__string_end(key, end);
		if (key_end == NULL)
			return 0;
		at = synicd__blank(key_end, end);
		if (at == end || *at != ':')
			return 0;
		value->at = synicd__blank(at + 1, end);
		value->end = synicd__value_end(value->at, end);
		if (value->end == NULL)
			return 0;
		if ((size_t)(key_end - key) == strlen(name) + 2 && memcmp(key + 1, name, strlen(name)) == 0)
			return 1;
		at = synicd__blank(value->end, end);
	} while (at < end && *at == ',');
	return 0;
}

static int synicd__first(struct synicd__span array, struct synicd__span *value)
{
	const char *at = synicd__blank(array.at, array.end);

	if (at == array.end || *at != '[')
		return 0;
	value->at = synicd__blank(at + 1, array.end);
	value->end = synicd__value_end(value->at, array.end);
	return value->end != NULL;
}

static int synicd__is(struct synicd__span value, const char *text)
{
	return (size_t)(value.end - value.at) == strlen(text) && memcmp(value.at, text, strlen(text)) == 0;
}

static int synicd__digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* All of [at, end) as a number that fits; else *number stays. */
static int synicd__number(const char *at, const char *end, unsigned base, uint64_t *number)
{
	uint64_t sum = 0;

	if (at == end)
		return 0;
	for (; at < end; at++) {
		unsigned digit = (unsigned)synicd__digit(*at);

		if (digit >= base || sum > (UINT64_MAX - digit) / base)
			return 0;
		sum = sum * base + digit;
	}
	*number = sum;
	return 1;
}

/* "0x1f", or 31 */
static int synicd__u64(struct synicd__span value, uint64_t *number)
{
	if (value.end - value.at >= 5 && memcmp(value.at, "\"0x", 3) == 0)
		return synicd__number(value.at + 3, value.end - 1, 16, number);
	return synicd__number(value.at, value.end, 10, number);
}

static int synicd__int(struct synicd__span value, int *number)
{
	int negative = value.at < value.end && *value.at == '-';
	uint64_t size;

	if (!synicd__number(value.at + negative, value.end, 10, &size) || size > INT_MAX)
		return 0;
	*number = negative ? -(int)size : (int)size;
	return 1;
}

/* A JSON string for people: cut to fit, escapes and control characters as a space. */
static void synicd__words(struct synicd__span value, char *to, size_t bytes)
{
	const char *at = value.at;

	if (at < value.end && *at == '"') {
		at++;
		value.end--;
	}
	for (; at < value.end && bytes > 1; at++) {
		char c = *at;

		if (c == '\\' && at + 1 < value.end) {
			c = *++at;
			if (c != '"' && c != '\\' && c != '/')
				c = ' ';
		}
		*to++ = (unsigned char)c < ' ' ? ' ' : c;
		bytes--;
	}
	*to = 0;
}

/* --- The connection ---------------------------------------------------------------------------------- */

static uint64_t synicd__now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void synicd__hang_up(struct synicd *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* 1 when ready, 0 when the time is over, -1 with errno. */
static int synicd__await(int fd, short events, uint64_t deadline_ms)
{
	for (;;) {
		struct pollfd wanted;
		uint64_t now = synicd__now_ms();
		int left = now >= deadline_ms ? 0 : (int)(deadline_ms - now);
		int ready;

		wanted.fd = fd;
		wanted.events = events;
		wanted.revents = 0;
		ready = poll(&wanted, 1, left);
		if (ready > 0)
			return 1;
		if (ready == 0 && synicd__now_ms() >= deadline_ms)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -1;
	}
}

/* Connects to one address; 0, or an errno. */
static int synicd__connect_to(struct synicd *p, const struct addrinfo *address, uint64_t deadline_ms)
{
	int one = 1, problem = 0, ready;
	socklen_t length = sizeof(problem);

	p->fd = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
	if (p->fd < 0)
		return errno;
	fcntl(p->fd, F_SETFD, FD_CLOEXEC);
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
#ifdef SO_NOSIGPIPE
	setsockopt(p->fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof(one));
#endif
	if (connect(p->fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS && errno != EINTR) {
		problem = errno;
	} else {
		ready = synicd__await(p->fd, POLLOUT, deadline_ms);
		if (ready <= 0)
			problem = ready == 0 ? ETIMEDOUT : errno;
		else if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &problem, &length) != 0)
			problem = errno;
	}
	if (problem != 0)
		synicd__hang_up(p);
	return problem;
}

static int synicd__connect(struct synicd *p, uint64_t deadline_ms)
{
	struct addrinfo hints, *found = NULL, *address;
	int problem, code;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV;
	code = getaddrinfo(p->host, p->port, &hints, &found);
	if (code != 0)
		return synicd__fail(p, SYNICD_GONE, "%s: %s", p->host, gai_strerror(code));
	problem = ECONNREFUSED;
	for (address = found; address != NULL; address = address->ai_next) {
		problem = synicd__connect_to(p, address, deadline_ms);
		if (problem == 0)
			break;
	}
	freeaddrinfo(found);
	p->keep_alive_s = 0;
	if (problem != 0)
		return synicd__fail(p, SYNICD_GONE, "no server at %s, port %s: %s", p->host, p->port,
				    strerror(problem));
	return 0;
}

/* The server has closed the idle connection, or is about to. Nothing was asked on it yet. */
static int synicd__is_stale(const struct synicd *p)
{
	uint64_t idle_ms = synicd__now_ms() - p->idle_since_ms;

	if (p->keep_alive_s > 1 && idle_ms >= (uint64_t)(p->keep_alive_s - 1) * 1000)
		return 1;
	return synicd__await(p->fd, POLLIN, 0) != 0;
}

/* Sends all of `out`; how much went out before anything broke. */
static size_t synicd__send(struct synicd *p, uint64_t deadline_ms)
{
	size_t sent = 0;

	while (sent < p->out.length) {
		ssize_t count = send(p->fd, p->out.at + sent, p->out.length - sent, SYNICD__SEND_FLAGS);

		if (count >= 0)
			sent += (size_t)count;
		else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if (synicd__await(p->fd, POLLOUT, deadline_ms) <= 0)
				break;
		} else if (errno != EINTR)
			break;
	}
	return sent;
}

/* --- HTTP -------------------------------------------------------------------------------------------- */

enum { SYNICD__MORE = 1, SYNICD__END = 0, SYNICD__BROKEN = -1 };

/* Reads what there is behind `in`. SYNICD__BROKEN has an errno: 0 when memory or patience ran out. */
static int synicd__fill(struct synicd *p, uint64_t deadline_ms)
{
	for (;;) {
		ssize_t count;
		int ready;

		if (p->in.length > SYNICD__REPLY_MAX + SYNICD__HEAD_MAX || synicd__reserve(&p->in, 16384) != 0) {
			errno = EMSGSIZE;
			return SYNICD__BROKEN;
		}
		count = recv(p->fd, p->in.at + p->in.length, p->in.room - p->in.length - 1, 0);
		if (count > 0) {
			p->in.length += (size_t)count;
			p->in.at[p->in.length] = 0;
			return SYNICD__MORE;
		}
		if (count == 0)
			return SYNICD__END;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return SYNICD__BROKEN;
		ready = synicd__await(p->fd, POLLIN, deadline_ms);
		if (ready == 0)
			errno = ETIMEDOUT;
		if (ready <= 0)
			return SYNICD__BROKEN;
	}
}

struct synicd__head {
	int status, chunked, close, keep_alive_s, has_length;
	size_t bytes; /* of the head itself */
	uint64_t length;
};

static int synicd__lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Where the value of header line [at, end) begins if its name is `name`, else NULL. */
static const char *synicd__header(const char *at, const char *end, const char *name)
{
	for (; *name != 0; name++, at++)
		if (at == end || synicd__lower(*at) != *name)
			return NULL;
	if (at == end || *at != ':')
		return NULL;
	return synicd__blank(at + 1, end);
}

static int synicd__same_word(const char *at, const char *end, const char *word)
{
	for (; *word != 0; word++, at++)
		if (at == end || synicd__lower(*at) != *word)
			return 0;
	return at == end;
}

static int synicd__header_line(struct synicd__head *head, const char *at, const char *end)
{
	const char *value;
	uint64_t seconds;

	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if ((value = synicd__header(at, end, "content-length")) != NULL) {
		head->has_length = 1;
		return synicd__number(value, end, 10, &head->length);
	}
	if ((value = synicd__header(at, end, "transfer-encoding")) != NULL) {
		head->chunked = synicd__same_word(value, end, "chunked");
		return head->chunked;
	}
	if ((value = synicd__header(at, end, "connection")) != NULL) {
		head->close |= synicd__same_word(value, end, "close");
	} else if ((value = synicd__header(at, end, "keep-alive")) != NULL) {
		if (end - value > 8 && memcmp(value, "timeout=", 8) == 0 &&
		    synicd__number(value + 8, end, 10, &seconds) && seconds < 1000000)
			head->keep_alive_s = (int)seconds;
	}
	return 1;
}

/* The head at the front of `in`: 1 if whole, 0 if more must come, -1 if it is none. */
static int synicd__parse_head(const struct synicd_text *in, struct synicd__head *head)
{
	const char *at, *end, *line_end;
	uint64_t status;

	memset(head, 0, sizeof(*head));
	if (in->length == 0)
		return 0;
	end = strstr(in->at, "\r\n\r\n");
	if (end == NULL)
		return in->length > SYNICD__HEAD_MAX || memchr(in->at, 0, in->length) != NULL ? -1 : 0;
	at = in->at;
	head->bytes = (size_t)(end - at) + 4;
	if (head->bytes < 16 || memcmp(at, "HTTP/1.1 ", 9) != 0)
		return -1;
	if (!synicd__number(at + 9, at + 12, 10, &status) || status < 100)
		return -1;
	head->status = (int)status;
	for (at = strstr(at, "\r\n"); at < end; at = line_end) {
		at += 2;
		line_end = strstr(at, "\r\n");
		if (!synicd__header_line(head, at, line_end))
			return -1;
	}
	return 1;
}

/* What is wrong with the reply, or NULL. */
static const char *synicd__chunks(struct synicd *p, uint64_t deadline_ms)
{
	size_t at = p->reply_at;

	for (;;) {
		const char *line_end, *size_end;
		uint64_t size;
		size_t line;

		while (p->in.length == at || (line_end = strstr(p->in.at + at, "\r\n")) == NULL) {
			if (p->in.length - at > 1024)
				return "has a chunk without a size";
			if (synicd__fill(p, deadline_ms) != SYNICD__MORE)
				return "has no end";
		}
		line = (size_t)(line_end - p->in.at);
		size_end = (const char *)memchr(p->in.at + at, ';', line - at);
		if (!synicd__number(p->in.at + at, size_end == NULL ? line_end : size_end, 16, &size))
			return "has a chunk without a size";
		if (size > SYNICD__REPLY_MAX - p->reply_bytes)
			return "is too long";
		at = line + 2;
		while (p->in.length - at < (size_t)size + 2)
			if (synicd__fill(p, deadline_ms) != SYNICD__MORE)
				return "has no end";
		if (memcmp(p->in.at + at + size, "\r\n", 2) != 0)
			return size == 0 ? "has a trailer" : "has a chunk of another size";
		memmove(p->in.at + p->reply_at + p->reply_bytes, p->in.at + at, (size_t)size);
		p->reply_bytes += (size_t)size;
		at += (size_t)size + 2;
		if (size == 0)
			return at == p->in.length ? NULL : "goes on behind its end";
	}
}

static const char *synicd__body(struct synicd *p, const struct synicd__head *head, uint64_t deadline_ms)
{
	int more;

	p->reply_at = head->bytes;
	p->reply_bytes = 0;
	if (head->status == 204 || head->status == 304)
		return p->in.length == head->bytes ? NULL : "has a body it must not have";
	if (head->chunked)
		return synicd__chunks(p, deadline_ms);
	if (head->length > SYNICD__REPLY_MAX)
		return "is too long";
	while (!head->has_length || p->in.length - head->bytes < head->length) {
		more = synicd__fill(p, deadline_ms);
		if (more == SYNICD__END && !head->has_length)
			break;
		if (more != SYNICD__MORE)
			return "has no end";
	}
	p->reply_bytes = p->in.length - head->bytes;
	if (head->has_length && p->reply_bytes != head->length)
		return "goes on behind its end";
	return NULL;
}

enum { SYNICD__ASK_AGAIN = 1 };

/* Says what a reply that did not come can mean for the request. */
static int synicd__no_reply(struct synicd *p, const char *request, int unsent, int problem)
{
	const char *why = problem == 0 ? "the server closed the connection" : strerror(problem);
	const char *meaning = unsent ? "it was not applied" : "it may have been applied, and is not sent again";

	synicd__hang_up(p);
	return synicd__fail(p, SYNICD_GONE, "%s: no answer: %s; %s", request, why, meaning);
}

/* Sends `out` once and takes the reply. SYNICD__ASK_AGAIN: it was not applied, or it only looks. */
static int synicd__attempt(struct synicd *p, const char *request, int only_looks)
{
	uint64_t deadline_ms = synicd__now_ms() + (uint64_t)(p->timeout_ms < 0 ? 0 : p->timeout_ms);
	struct synicd__head head;
	const char *wrong;
	int reused, unsent, parsed, more;

	if (p->fd >= 0 && synicd__is_stale(p))
		synicd__hang_up(p);
	reused = p->fd >= 0;
	if (!reused && synicd__connect(p, deadline_ms) != 0)
		return SYNICD_GONE;
	synicd__empty(&p->in);
	/* A server may answer and hang up before it has read everything, so the answer is looked for anyway. */
	unsent = synicd__send(p, deadline_ms) < p->out.length;
	while ((parsed = synicd__parse_head(&p->in, &head)) == 0 || (parsed == 1 && head.status < 200)) {
		if (parsed == 1) {
			p->in.length -= head.bytes;
			memmove(p->in.at, p->in.at + head.bytes, p->in.length + 1);
			continue;
		}
		more = synicd__fill(p, deadline_ms);
		if (more == SYNICD__MORE)
			continue;
		if (reused && p->in.length == 0 && (unsent || only_looks) &&
		    (more == SYNICD__END || errno == ECONNRESET || errno == EPIPE)) {
			synicd__hang_up(p);
			return SYNICD__ASK_AGAIN;
		}
		return synicd__no_reply(p, request, unsent, more == SYNICD__END ? 0 : errno);
	}
	wrong = parsed < 0 ? "is not HTTP/1.1" : synicd__body(p, &head, deadline_ms);
	if (wrong != NULL) {
		synicd__hang_up(p);
		return synicd__fail(p, SYNICD_GONE, "%s: the answer %s", request, wrong);
	}
	if (head.close || unsent || (!head.has_length && !head.chunked && head.status != 204))
		synicd__hang_up(p);
	p->keep_alive_s = head.keep_alive_s;
	p->idle_since_ms = synicd__now_ms();
	p->status = head.status;
	return 0;
}

static struct synicd__span synicd__reply(const struct synicd *p)
{
	struct synicd__span reply;

	reply.at = p->in.at + p->reply_at;
	reply.end = reply.at + p->reply_bytes;
	return reply;
}

/* A problem document (RFC 9457) as a sentence. A refusal changes nothing; a failing server may have. */
static int synicd__problem(struct synicd *p, const char *request)
{
	struct synicd__span detail, errors, first, path, message;
	char words[256] = "", field[64] = "", rule[128] = "";
	int code = p->status < 500 || p->status == 503 ? SYNICD_REFUSED : SYNICD_GONE;

	if (synicd__member(synicd__reply(p), "detail", &detail))
		synicd__words(detail, words, sizeof(words));
	if (!synicd__member(synicd__reply(p), "errors", &errors) || !synicd__first(errors, &first) ||
	    !synicd__member(first, "path", &path) || !synicd__member(first, "message", &message))
		return synicd__fail(p, code, "%s: %d %s", request, p->status, words);
	synicd__words(path, field, sizeof(field));
	synicd__words(message, rule, sizeof(rule));
	if (strstr(words, rule) != NULL) /* The first of them is often all there is to say. */
		return synicd__fail(p, code, "%s: %d %s", request, p->status, words);
	return synicd__fail(p, code, "%s: %d %s %s: %s", request, p->status, words, field, rule);
}

/* Sends a request with `body`; 0 if the answer is a success. */
static int synicd__request(struct synicd *p, const char *method, const char *path, const char *type)
{
	char request[256];
	int only_looks = strcmp(method, "GET") == 0, ipv6 = strchr(p->host, ':') != NULL, outcome;

	snprintf(request, sizeof(request), "%s %s", method, path);
	synicd__empty(&p->out);
	synicd__add(&p->out, "%s HTTP/1.1\r\nhost: %s%s%s:%s\r\n", request, ipv6 ? "[" : "", p->host,
		    ipv6 ? "]" : "", p->port);
	if (type != NULL)
		synicd__add(&p->out, "content-type: %s\r\ncontent-length: %zu\r\n", type, p->body.length);
	synicd__add(&p->out, "\r\n");
	if (type != NULL)
		synicd__add_bytes(&p->out, p->body.at, p->body.length);
	if (p->out.failed || p->body.failed || p->op.failed)
		return synicd__fail(p, SYNICD_REFUSED, "%s: out of memory", request);
	outcome = synicd__attempt(p, request, only_looks);
	if (outcome == SYNICD__ASK_AGAIN)
		outcome = synicd__attempt(p, request, only_looks);
	if (outcome != 0)
		return outcome;
	return p->status >= 200 && p->status < 300 ? 0 : synicd__problem(p, request);
}

/* --- Ops --------------------------------------------------------------------------------------------- */

/* Posts `op` as a batch of one; its result. */
static int synicd__post(struct synicd *p, struct synicd__span *result)
{
	char path[128];
	struct synicd__span results;
	int outcome;

	snprintf(path, sizeof(path), "/v1/partitions/%s/ops", p->id);
	synicd__empty(&p->body);
	synicd__add(&p->body, "{\"actor\":\"%s\",\"ops\":[", p->actor);
	synicd__add_bytes(&p->body, p->op.at, p->op.length);
	synicd__add(&p->body, "]}");
	outcome = synicd__request(p, "POST", path, "application/json");
	if (outcome != 0)
		return outcome;
	if (synicd__member(synicd__reply(p), "results", &results) && synicd__first(results, result))
		return 0;
	return synicd__fail(p, SYNICD_GONE, "POST %s: the answer has no result", path);
}

/* What a result says went wrong for the guest. That is an outcome: told, not logged. */
static int synicd__outcome(struct synicd *p, struct synicd__span result)
{
	struct synicd__span value;
	int code = 0, gp;

	if (synicd__member(result, "ok", &value) && synicd__is(value, "true"))
		return 0;
	if (synicd__member(result, "fault", &value)) {
		gp = synicd__is(value, "\"gp\"");
		snprintf(p->error, sizeof(p->error), "%s: %.400s", gp ? "#GP" : "#UD", p->op.at);
		return gp ? SYNICD_GP : SYNICD_UD;
	}
	if (synicd__member(result, "errno", &value) && synicd__int(value, &code) && code < 0) {
		snprintf(p->error, sizeof(p->error), "errno %d: %.400s", code, p->op.at);
		return code;
	}
	return synicd__fail(p, SYNICD_GONE, "the answer to %.200s is no result", p->op.at);
}

SYNICD__FORMAT(3)
static int synicd__do(struct synicd *p, struct synicd__span *result, const char *format, ...)
{
	struct synicd__span ignored;
	va_list arguments;
	int outcome;

	synicd__empty(&p->op);
	va_start(arguments, format);
	synicd__add_list(&p->op, format, arguments);
	va_end(arguments);
	if (result == NULL)
		result = &ignored;
	outcome = synicd__post(p, result);
	return outcome != 0 ? outcome : synicd__outcome(p, *result);
}

static int synicd__missing(struct synicd *p, const char *name)
{
	return synicd__fail(p, SYNICD_GONE, "the result of %.200s has no %s", p->op.at, name);
}

static int synicd__value(struct synicd *p, struct synicd__span result, uint64_t *value)
{
	struct synicd__span found;

	if (synicd__member(result, "value", &found) && synicd__u64(found, value))
		return 0;
	return synicd__missing(p, "value");
}

/* --- Opening and closing ----------------------------------------------------------------------------- */

/* Names go into paths and JSON as they are, so they are checked. */
static int synicd__is_name(const char *name)
{
	size_t length = 0;

	for (; name != NULL && name[length] != 0; length++) {
		char c = name[length];
		int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!letter && (length == 0 || strchr("_.:-", c) == NULL))
			return 0;
	}
	return length > 0 && length < SYNICD_ID_BYTES;
}

static int synicd__url(struct synicd *p, const char *url)
{
	const char *at = url, *end, *colon;
	size_t host, port;

	if (url == NULL || strncmp(url, "http://", 7) != 0)
		goto refuse;
	at += 7;
	if (*at == '[') { /* IPv6 */
		end = strchr(++at, ']');
		if (end == NULL)
			goto refuse;
		host = (size_t)(end - at);
		colon = end + 1;
	} else {
		host = strcspn(at, ":/");
		colon = at + host;
	}
	port = *colon == ':' ? strcspn(colon + 1, "/") : 0;
	end = colon + (*colon == ':') + port;
	if (host == 0 || host >= sizeof(p->host) || port >= sizeof(p->port) - 1)
		goto refuse;
	if (*end != 0 && strcmp(end, "/") != 0)
		goto refuse;
	if (strspn(colon + (*colon == ':'), "0123456789") < port || strcspn(at, " \r\n\t@") < host)
		goto refuse;
	memcpy(p->host, at, host);
	if (port != 0)
		memcpy(p->port, colon + 1, port);
	else
		memcpy(p->port, "80", 3);
	return 0;
refuse:
	return synicd__fail(p, SYNICD_REFUSED, "\"%.200s\" is not a URL such as http://127.0.0.1:8440",
			    url == NULL ? "" : url);
}

static int synicd__start(struct synicd *p, const char *url, const char *actor)
{
	memset(p, 0, sizeof(*p));
	p->fd = -1;
	p->timeout_ms = SYNICD__TIMEOUT_MS;
	if (!synicd__is_name(actor))
		return synicd__fail(p, SYNICD_REFUSED, "an actor is a name of 1 to 64 letters, digits and _.:-");
	memcpy(p->actor, actor, strlen(actor) + 1);
	return synicd__url(p, url);
}

int synicd_open(struct synicd *p, const char *url, const char *partition, const char *actor)
{
	char path[128];
	int outcome = synicd__start(p, url, actor);

	if (outcome != 0)
		return outcome;
	if (!synicd__is_name(partition))
		return synicd__fail(p, SYNICD_REFUSED, "a partition id has 1 to 64 letters, digits and _.:-");
	memcpy(p->id, partition, strlen(partition) + 1);
	snprintf(path, sizeof(path), "/v1/partitions/%s", p->id);
	outcome = synicd__request(p, "GET", path, NULL);
	if (outcome != 0)
		synicd_close(p);
	return outcome;
}

static void synicd__option(struct synicd *p, const char *name, const char *value)
{
	if (value != NULL)
		synicd__add(&p->body, ",\"%s\":\"%s\"", name, value);
}

int synicd_create(struct synicd *p, const char *url, const char *actor, const struct synicd_config *config)
{
	struct synicd__span id;
	int outcome = synicd__start(p, url, actor);

	if (outcome != 0)
		return outcome;
	if ((config->id != NULL && !synicd__is_name(config->id)) ||
	    (config->kind != NULL && !synicd__is_name(config->kind)) ||
	    (config->profile != NULL && !synicd__is_name(config->profile)) ||
	    (config->clock != NULL && !synicd__is_name(config->clock)))
		return synicd__fail(p, SYNICD_REFUSED, "id, kind, profile and clock are letters, digits and _.:-");
	synicd__add(&p->body, "{\"vcpus\":%u", config->vcpus == 0 ? 1 : config->vcpus);
	synicd__option(p, "id", config->id);
	synicd__option(p, "kind", config->kind);
	synicd__option(p, "profile", config->profile);
	synicd__option(p, "clock", config->clock);
	if (config->options != NULL)
		synicd__add(&p->body, ",\"options\":%s", config->options);
	synicd__add(&p->body, "}");
	outcome = synicd__request(p, "POST", "/v1/partitions", "application/json");
	if (outcome == 0) {
		if (synicd__member(synicd__reply(p), "id", &id))
			synicd__words(id, p->id, sizeof(p->id));
		if (!synicd__is_name(p->id))
			outcome = synicd__fail(p, SYNICD_GONE, "POST /v1/partitions: the answer has no id");
	}
	if (outcome != 0)
		synicd_close(p);
	return outcome;
}

void synicd_close(struct synicd *p)
{
	synicd__hang_up(p);
	while (p->shadows != NULL)
		synicd_unmap(p, p->shadows->at);
	free(p->in.at);
	free(p->out.at);
	free(p->body.at);
	free(p->op.at);
	memset(&p->in, 0, sizeof(p->in));
	memset(&p->out, 0, sizeof(p->out));
	memset(&p->body, 0, sizeof(p->body));
	memset(&p->op, 0, sizeof(p->op));
}

int synicd_delete(struct synicd *p)
{
	char path[128];

	snprintf(path, sizeof(path), "/v1/partitions/%s", p->id);
	return synicd__request(p, "DELETE", path, NULL);
}

/* --- Registers, interrupts, hypercalls --------------------------------------------------------------- */

struct synicd_vcpu synicd_cpu(struct synicd *p, unsigned index)
{
	struct synicd_vcpu cpu;

	cpu.partition = p;
	cpu.index = index;
	return cpu;
}

int synicd_rdmsr(struct synicd_vcpu cpu, uint32_t msr, uint64_t *value)
{
	struct synicd__span result;
	int outcome = synicd__do(cpu.partition, &result, "{\"op\":\"msr.read\",\"vcpu\":%u,\"msr\":\"0x%lx\"}",
				 cpu.index, (unsigned long)msr);

	*value = 0;
	return outcome != 0 ? outcome : synicd__value(cpu.partition, result, value);
}

int synicd_wrmsr(struct synicd_vcpu cpu, uint32_t msr, uint64_t value)
{
	return synicd__do(cpu.partition, NULL,
			  "{\"op\":\"msr.write\",\"vcpu\":%u,\"msr\":\"0x%lx\",\"value\":\"0x%llx\"}", cpu.index,
			  (unsigned long)msr, (unsigned long long)value);
}

int synicd_wait_interrupt(struct synicd_vcpu cpu, int timeout_ms, int *vector)
{
	uint64_t deadline_ms = synicd__now_ms() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms);
	long sleep_us = 250;

	for (;;) {
		struct synicd__span result, found;
		struct timespec nap;
		int outcome;

		*vector = -1;
		outcome = synicd__do(cpu.partition, &result, "{\"op\":\"apic.ack\",\"vcpu\":%u}", cpu.index);
		if (outcome != 0)
			return outcome;
		if (!synicd__member(result, "vector", &found) || !synicd__int(found, vector))
			return synicd__missing(cpu.partition, "vector");
		if (*vector >= 0 || (timeout_ms >= 0 && synicd__now_ms() >= deadline_ms))
			return 0;
		nap.tv_sec = 0;
		nap.tv_nsec = sleep_us * 1000;
		nanosleep(&nap, NULL);
		sleep_us = sleep_us * 2 > SYNICD__POLL_MAX_US ? SYNICD__POLL_MAX_US : sleep_us * 2;
	}
}

int synicd_eoi(struct synicd_vcpu cpu)
{
	return synicd__do(cpu.partition, NULL, "{\"op\":\"apic.eoi\",\"vcpu\":%u}", cpu.index);
}

int synicd_complete(struct synicd_vcpu cpu, unsigned sint)
{
	return synicd__do(cpu.partition, NULL, "{\"op\":\"message.complete\",\"vcpu\":%u,\"sint\":%u}", cpu.index,
			  sint);
}

static int synicd__status(struct synicd *p, int outcome, struct synicd__span result, uint64_t *status)
{
	struct synicd__span found;

	*status = 0;
	if (outcome != 0)
		return outcome;
	if (!synicd__member(result, "hcall_exit", &found))
		return synicd__value(p, result, status);
	return synicd__fail(p, SYNICD_EXITED, "the VMM must answer %.200s", p->op.at);
}

int synicd_hypercall(struct synicd_vcpu cpu, uint64_t control, uint64_t input_gpa, uint64_t output_gpa,
		     uint64_t *status)
{
	struct synicd__span result;
	int outcome = synicd__do(cpu.partition, &result,
				 "{\"op\":\"hypercall\",\"vcpu\":%u,\"control\":\"0x%llx\",\"input\":\"0x%llx\","
				 "\"output\":\"0x%llx\"}",
				 cpu.index, (unsigned long long)control, (unsigned long long)input_gpa,
				 (unsigned long long)output_gpa);

	return synicd__status(cpu.partition, outcome, result, status);
}

int synicd_post_message(struct synicd_vcpu cpu, uint32_t connection, uint32_t type, const void *payload,
			size_t bytes, uint64_t *status)
{
	const unsigned char *from = (const unsigned char *)payload;
	char hex[2 * SYNICD__PAYLOAD_MAX + 1];
	struct synicd__span result;
	size_t i;
	int outcome;

	*status = 0;
	if (bytes > SYNICD__PAYLOAD_MAX)
		return synicd__fail(cpu.partition, SYNICD_REFUSED, "a message has at most 240 bytes, not %zu", bytes);
	for (i = 0; i < bytes; i++) {
		hex[2 * i] = "0123456789abcdef"[from[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[from[i] & 15];
	}
	hex[2 * bytes] = 0;
	outcome = synicd__do(cpu.partition, &result,
			     "{\"op\":\"hv.post_message\",\"vcpu\":%u,\"connection\":%lu,\"type\":%lu,\"hex\":\"%s\"}",
			     cpu.index, (unsigned long)connection, (unsigned long)type, hex);
	return synicd__status(cpu.partition, outcome, result, status);
}

int synicd_signal_event(struct synicd_vcpu cpu, uint32_t connection, uint32_t flag, uint64_t *status)
{
	struct synicd__span result;
	int outcome = synicd__do(cpu.partition, &result,
				 "{\"op\":\"hv.signal_event\",\"vcpu\":%u,\"connection\":%lu,\"flag\":%lu}", cpu.index,
				 (unsigned long)connection, (unsigned long)flag);

	return synicd__status(cpu.partition, outcome, result, status);
}

/* --- Memory ------------------------------------------------------------------------------------------ */

static int synicd__wraps(struct synicd *p, uint64_t gpa, size_t bytes)
{
	if (bytes == 0 || gpa <= UINT64_MAX - (bytes - 1))
		return 0;
	return synicd__fail(p, SYNICD_REFUSED, "0x%llx and %zu bytes go beyond 64 bits", (unsigned long long)gpa,
			    bytes);
}

int synicd_read(struct synicd *p, uint64_t gpa, void *to, size_t bytes)
{
	char path[192], *into = (char *)to;
	int outcome = synicd__wraps(p, gpa, bytes);

	for (; outcome == 0 && bytes > 0;) {
		size_t part = bytes < SYNICD__TRANSFER_MAX ? bytes : SYNICD__TRANSFER_MAX;

		snprintf(path, sizeof(path), "/v1/partitions/%s/memory/0x%llx?len=%zu", p->id,
			 (unsigned long long)gpa, part);
		outcome = synicd__request(p, "GET", path, NULL);
		if (outcome != 0)
			break;
		if (p->reply_bytes != part)
			return synicd__fail(p, SYNICD_GONE, "GET %s: the answer has %zu bytes", path, p->reply_bytes);
		memcpy(into, p->in.at + p->reply_at, part);
		into += part;
		gpa += part;
		bytes -= part;
	}
	return outcome;
}

int synicd_write(struct synicd *p, uint64_t gpa, const void *from, size_t bytes)
{
	char path[256];
	const char *rest = (const char *)from;
	int outcome = synicd__wraps(p, gpa, bytes);

	while (outcome == 0 && bytes > 0) {
		size_t part = bytes < SYNICD__TRANSFER_MAX ? bytes : SYNICD__TRANSFER_MAX;

		snprintf(path, sizeof(path), "/v1/partitions/%s/memory/0x%llx?actor=%s", p->id,
			 (unsigned long long)gpa, p->actor);
		synicd__empty(&p->body);
		synicd__empty(&p->op);
		synicd__add(&p->op, "PUT %s", path);
		synicd__add_bytes(&p->body, rest, part);
		outcome = synicd__request(p, "PUT", path, "application/octet-stream");
		if (outcome == 0)
			outcome = synicd__outcome(p, synicd__reply(p));
		rest += part;
		gpa += part;
		bytes -= part;
	}
	return outcome;
}

static struct synicd_shadow *synicd__shadow(struct synicd *p, const void *at, size_t bytes, size_t *offset)
{
	struct synicd_shadow *shadow = p->shadows;

	for (; shadow != NULL; shadow = shadow->next) {
		if ((uintptr_t)at < (uintptr_t)shadow->at)
			continue;
		*offset = (uintptr_t)at - (uintptr_t)shadow->at;
		if (*offset < shadow->bytes && bytes <= shadow->bytes - *offset)
			return shadow;
	}
	return NULL;
}

void *synicd_map(struct synicd *p, uint64_t gpa, size_t pages)
{
	struct synicd_shadow *shadow = (struct synicd_shadow *)calloc(1, sizeof(*shadow));
	void *at = NULL;

	if (shadow == NULL || pages == 0 || pages > SIZE_MAX / SYNICD_PAGE_BYTES ||
	    posix_memalign(&at, SYNICD_PAGE_BYTES, pages * SYNICD_PAGE_BYTES) != 0) {
		free(shadow);
		synicd__fail(p, SYNICD_REFUSED, "no memory for a shadow of %zu pages", pages);
		return NULL;
	}
	shadow->at = (unsigned char *)at;
	shadow->gpa = gpa;
	shadow->bytes = pages * SYNICD_PAGE_BYTES;
	shadow->next = p->shadows;
	p->shadows = shadow;
	if (synicd_read(p, gpa, at, shadow->bytes) == 0)
		return at;
	synicd_unmap(p, at);
	return NULL;
}

int synicd_pull(struct synicd *p, void *in_shadow, size_t bytes)
{
	size_t offset;
	struct synicd_shadow *shadow = synicd__shadow(p, in_shadow, bytes, &offset);

	if (shadow == NULL)
		return synicd__fail(p, SYNICD_REFUSED, "synicd_pull: not all of it is in a shadow");
	return synicd_read(p, shadow->gpa + offset, in_shadow, bytes);
}

int synicd_push(struct synicd *p, const void *in_shadow, size_t bytes)
{
	size_t offset;
	struct synicd_shadow *shadow = synicd__shadow(p, in_shadow, bytes, &offset);

	if (shadow == NULL)
		return synicd__fail(p, SYNICD_REFUSED, "synicd_push: not all of it is in a shadow");
	return synicd_write(p, shadow->gpa + offset, in_shadow, bytes);
}

uint64_t synicd_gpa(struct synicd *p, const void *in_shadow)
{
	size_t offset;
	struct synicd_shadow *shadow = synicd__shadow(p, in_shadow, 1, &offset);

	return shadow == NULL ? SYNICD_NO_GPA : shadow->gpa + offset;
}

void synicd_unmap(struct synicd *p, void *at)
{
	struct synicd_shadow **link = &p->shadows, *shadow;

	while (*link != NULL && (*link)->at != at)
		link = &(*link)->next;
	shadow = *link;
	if (shadow == NULL)
		return;
	*link = shadow->next;
	free(shadow->at);
	free(shadow);
}

/* The old content; the caller may not want it. */
static int synicd__old(struct synicd *p, int outcome, struct synicd__span result, uint64_t *old)
{
	uint64_t ignored;

	return outcome != 0 ? outcome : synicd__value(p, result, old == NULL ? &ignored : old);
}

int synicd_cas(struct synicd *p, uint64_t gpa, unsigned size, uint64_t expected, uint64_t desired,
	       uint64_t *old)
{
	struct synicd__span result;
	int outcome = synicd__do(p, &result,
				 "{\"op\":\"mem.cas\",\"gpa\":\"0x%llx\",\"len\":%u,\"expect\":\"0x%llx\","
				 "\"value\":\"0x%llx\"}",
				 (unsigned long long)gpa, size, (unsigned long long)expected,
				 (unsigned long long)desired);

	return synicd__old(p, outcome, result, old);
}

int synicd_xchg(struct synicd *p, uint64_t gpa, unsigned size, uint64_t desired, uint64_t *old)
{
	struct synicd__span result;
	int outcome = synicd__do(p, &result, "{\"op\":\"mem.xchg\",\"gpa\":\"0x%llx\",\"len\":%u,\"value\":\"0x%llx\"}",
				 (unsigned long long)gpa, size, (unsigned long long)desired);

	return synicd__old(p, outcome, result, old);
}

/* --- The clock, the auditor, and everything else ----------------------------------------------------- */

int synicd_advance(struct synicd *p, uint64_t ticks)
{
	return synicd__do(p, NULL, "{\"op\":\"clock.advance\",\"ticks\":%llu}", (unsigned long long)ticks);
}

int synicd_claim(struct synicd *p, const char *claims)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,";
	const char *at;
	struct synicd__span result;
	int outcome;

	if (claims == NULL || claims[strspn(claims, allowed)] != 0)
		return synicd__fail(p, SYNICD_REFUSED, "claims are registers with commas between them, no spaces");
	synicd__empty(&p->op);
	synicd__add(&p->op, "{\"op\":\"actor.attach\",\"actor\":\"%s\",\"claims\":[", p->actor);
	for (at = claims; *at != 0; at += at[0] == ',') {
		size_t length = strcspn(at, ",");

		synicd__add(&p->op, "%s\"%.*s\"", at == claims ? "" : ",", length > 80 ? 80 : (int)length, at);
		at += length;
	}
	synicd__add(&p->op, "]}");
	outcome = synicd__post(p, &result);
	return outcome != 0 ? outcome : synicd__outcome(p, result);
}

int synicd_detach(struct synicd *p)
{
	return synicd__do(p, NULL, "{\"op\":\"actor.detach\",\"actor\":\"%s\"}", p->actor);
}

/* As much of the text as fits, and how long all of it is. */
static long synicd__copy(struct synicd__span text, char *buffer, size_t bytes)
{
	size_t length = (size_t)(text.end - text.at), fitting = length;

	if (bytes == 0)
		return (long)length;
	if (fitting >= bytes)
		fitting = bytes - 1;
	memcpy(buffer, text.at, fitting);
	buffer[fitting] = 0;
	return (long)length;
}

long synicd_violations(struct synicd *p, char *buffer, size_t bytes)
{
	struct synicd__span type;
	char path[128];
	int outcome;

	if (bytes > 0)
		buffer[0] = 0;
	snprintf(path, sizeof(path), "/v1/partitions/%s/violations", p->id);
	outcome = synicd__request(p, "GET", path, NULL);
	if (outcome == 0)
		return synicd__copy(synicd__reply(p), buffer, bytes);
	if (outcome == SYNICD_REFUSED && p->status == 404 && synicd__member(synicd__reply(p), "type", &type) &&
	    synicd__is(type, "\"/problems/not-found\""))
		return synicd__fail(p, outcome, "this server has no auditor: there is no GET %s", path);
	return outcome;
}

long synicd_op(struct synicd *p, const char *op_json, char *buffer, size_t bytes)
{
	struct synicd__span result;
	int outcome;

	if (bytes > 0)
		buffer[0] = 0;
	synicd__empty(&p->op);
	synicd__add_bytes(&p->op, op_json, strlen(op_json));
	outcome = synicd__post(p, &result);
	return outcome != 0 ? outcome : synicd__copy(result, buffer, bytes);
}

#endif /* SYNICD_IMPLEMENTATION */
