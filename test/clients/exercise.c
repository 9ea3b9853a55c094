/*
 * Calls every function of synicd.h and prints what came of it, for c.test.ts to compare.
 *
 *     exercise all URL           every function and refusal, on partitions of its own
 *     exercise pause URL PID     a register write, "paused", a line from standard input, another write and read
 *     exercise one URL PID       opens, then one write, one read of a register, of memory, of violations
 *     exercise kvm URL           a hypercall that is the VMM's
 */
#define SYNICD_IMPLEMENTATION
#include "../../clients/c/synicd.h"

#include <inttypes.h>

#define SIMP 0x40000083u
#define SINT2 0x40000092u
#define SCONTROL 0x40000080u
#define GUEST_OS_ID 0x40000000u
#define HYPERCALL 0x40000001u
#define MIB ((size_t)1 << 20)

static const char *named(int outcome)
{
	static char number[32];

	switch (outcome) {
	case 0:
		return "ok";
	case SYNICD_GP:
		return "GP";
	case SYNICD_UD:
		return "UD";
	case SYNICD_REFUSED:
		return "REFUSED";
	case SYNICD_GONE:
		return "GONE";
	case SYNICD_EXITED:
		return "EXITED";
	default:
		snprintf(number, sizeof(number), "%d", outcome);
		return number;
	}
}

static void tell(const char *call, int outcome, const struct synicd *p)
{
	printf("%s: %s%s%s\n", call, named(outcome), outcome == 0 ? "" : ": ", outcome == 0 ? "" : p->error);
	fflush(stdout);
}

static void log_line(void *context, const char *sentence)
{
	++*(unsigned *)context;
	(void)sentence;
}

static void registers(struct synicd *p)
{
	struct synicd_vcpu cpu = synicd_cpu(p, 0);
	uint64_t value = 1;

	tell("wrmsr SIMP", synicd_wrmsr(cpu, SIMP, 0x10001), p);
	tell("rdmsr SIMP", synicd_rdmsr(cpu, SIMP, &value), p);
	printf("SIMP 0x%" PRIx64 "\n", value);
	tell("rdmsr of no MSR", synicd_rdmsr(cpu, 0x12345, &value), p);
	printf("value 0x%" PRIx64 "\n", value);
	tell("wrmsr of no MSR", synicd_wrmsr(cpu, 0x12345, UINT64_MAX), p);
	tell("wrmsr on no vCPU", synicd_wrmsr(synicd_cpu(p, 7), SIMP, 0), p);
}

static void memory(struct synicd *p)
{
	size_t bytes = 2 * MIB + 12345, i;
	unsigned char *from = (unsigned char *)malloc(bytes), *to = (unsigned char *)malloc(bytes);

	if (from == NULL || to == NULL)
		exit(2);
	for (i = 0; i < bytes; i++)
		from[i] = (unsigned char)(i * 7 + (i >> 8));
	tell("write 1 MiB", synicd_write(p, 0x200000, from, MIB), p);
	tell("read 1 MiB", synicd_read(p, 0x200000, to, MIB), p);
	printf("same %d\n", memcmp(from, to, MIB) == 0);
	tell("write more", synicd_write(p, 0x400123, from, bytes), p);
	tell("read more", synicd_read(p, 0x400123, to, bytes), p);
	printf("same %d\n", memcmp(from, to, bytes) == 0);
	tell("read nothing", synicd_read(p, 0, to, 0), p);
	tell("read beyond memory", synicd_read(p, 0xfffffffff000, to, 16), p);
	tell("write beyond memory", synicd_write(p, 0xfffffffff000, from, 16), p);
	tell("read beyond 64 bits", synicd_read(p, UINT64_MAX - 3, to, 16), p);
	free(from);
	free(to);
}

static void shadows(struct synicd *p)
{
	unsigned char *page = (unsigned char *)synicd_map(p, 0x30000, 2), *other, outside[4] = {0};
	uint64_t old = 0;

	if (page == NULL)
		exit(2);
	other = (unsigned char *)synicd_map(p, 0x30000, 1);
	if (other == NULL)
		exit(2);
	page[8] = 42;
	tell("push", synicd_push(p, page + 8, 1), p);
	printf("other before pull %d\n", other[8]);
	tell("pull", synicd_pull(p, other, SYNICD_PAGE_BYTES), p);
	printf("other after pull %d, at 0x%" PRIx64 "\n", other[8], synicd_gpa(p, other + 8));
	tell("cas that fits", synicd_cas(p, synicd_gpa(p, other + 8), 4, 42, 43, &old), p);
	printf("old %" PRIu64 "\n", old);
	tell("cas that does not", synicd_cas(p, 0x30008, 4, 42, 99, &old), p);
	printf("old %" PRIu64 "\n", old);
	tell("xchg", synicd_xchg(p, 0x30008, 8, UINT64_MAX, &old), p);
	printf("old %" PRIu64 "\n", old);
	tell("xchg of a byte", synicd_xchg(p, 0x30008, 1, 0, NULL), p);
	tell("pull", synicd_pull(p, page + SYNICD_PAGE_BYTES - 1, SYNICD_PAGE_BYTES + 1), p);
	tell("cas of 3 bytes", synicd_cas(p, 0x30000, 3, 0, 0, &old), p);
	tell("cas beyond memory", synicd_cas(p, 0xfffffffff000, 4, 0, 0, &old), p);
	tell("pull outside", synicd_pull(p, outside, sizeof(outside)), p);
	tell("push across the end", synicd_push(p, page + SYNICD_PAGE_BYTES, SYNICD_PAGE_BYTES + 1), p);
	printf("gpa outside %d\n", synicd_gpa(p, outside) == SYNICD_NO_GPA);
	printf("map beyond memory %d\n", synicd_map(p, 0xfffffffff000, 1) == NULL);
	printf("map nothing %d\n", synicd_map(p, 0, 0) == NULL);
	synicd_unmap(p, other);
	synicd_unmap(p, outside); /* no shadow: nothing happens */
	/* `page` is left to synicd_close. */
}

static void interrupts(struct synicd *p)
{
	struct synicd_vcpu cpu = synicd_cpu(p, 0);
	static const char post[] =
		"{\"op\":\"message.post\",\"by\":\"host\",\"vcpu\":0,\"sint\":2,\"type\":1,\"hex\":\"0a\"}";
	struct timespec from, to;
	char result[256], cut[8];
	int vector = 0;
	long length, waited_ms;

	synicd_wrmsr(cpu, SINT2, 0xf3);
	synicd_wrmsr(cpu, SCONTROL, 1);
	clock_gettime(CLOCK_MONOTONIC, &from);
	tell("wait in vain", synicd_wait_interrupt(cpu, 120, &vector), p);
	clock_gettime(CLOCK_MONOTONIC, &to);
	waited_ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	printf("vector %d, long enough %d\n", vector, waited_ms >= 119);
	length = synicd_op(p, post, result, sizeof(result));
	printf("%ld %s\n", length, result);
	tell("wait", synicd_wait_interrupt(cpu, -1, &vector), p);
	printf("vector %d\n", vector);
	tell("complete", synicd_complete(cpu, 2), p);
	tell("eoi", synicd_eoi(cpu), p);
	length = synicd_op(p, "{\"op\":\"msr.read\",\"vcpu\":0,\"msr\":\"SINT2\"}", cut, sizeof(cut));
	printf("%ld %s\n", length, cut);
	tell("no op", (int)synicd_op(p, "{\"op\":\"msr.peek\"}", NULL, 0), p);
	tell("no JSON", (int)synicd_op(p, "{", NULL, 0), p);
	tell("wait on no vCPU", synicd_wait_interrupt(synicd_cpu(p, 7), 0, &vector), p);
}

static void hypercalls(struct synicd *p)
{
	struct synicd_vcpu cpu = synicd_cpu(p, 0);
	uint64_t status = 1;
	char payload[241] = "hello";

	tell("hypercall without its page", synicd_hypercall(cpu, 0x1005d, 1, 0, &status), p);
	synicd_wrmsr(cpu, GUEST_OS_ID, 1);
	synicd_wrmsr(cpu, HYPERCALL, 0x50001);
	tell("hypercall", synicd_hypercall(cpu, 0x1005d, 99, 0, &status), p);
	printf("status 0x%" PRIx64 "\n", status);
	tell("post_message", synicd_post_message(cpu, 99, 1, payload, 240, &status), p);
	printf("status %" PRIu64 "\n", status);
	tell("signal_event", synicd_signal_event(cpu, 99, 3, &status), p);
	printf("status %" PRIu64 "\n", status);
	tell("post_message too long", synicd_post_message(cpu, 1, 1, payload, 241, &status), p);
	tell("post_message of nothing", synicd_post_message(cpu, 99, 1, NULL, 0, &status), p);
}

static void the_rest(struct synicd *p)
{
	uint64_t now = 0;
	long length;
	char text[4096];

	tell("advance", synicd_advance(p, 12345), p);
	synicd_rdmsr(synicd_cpu(p, 0), 0x40000020, &now);
	printf("now %" PRIu64 "\n", now);
	tell("claim", synicd_claim(p, "SIMP,SIEFP,v0.SINT2,SCONTROL"), p);
	tell("claim of nothing", synicd_claim(p, ""), p);
	tell("claim of no register", synicd_claim(p, "SIMP,SUMP"), p);
	tell("claim with a quote", synicd_claim(p, "SIMP\",\"SINT2"), p);
	tell("detach", synicd_detach(p), p);
	length = synicd_violations(p, text, sizeof(text));
	printf("violations %s\n", length > 0 && text[0] == '{' ? "told" : p->error);
	printf("cut off %d\n", length < 0 || (synicd_violations(p, text, 5) == length && strlen(text) == 4));
}

static int all(const char *url)
{
	static const char *const urls[] = {"https://127.0.0.1:1", "http://", "http://:80", "http://h/v1", "http://h:8x",
					   "http://h:1234567", "http://a b", "http://[::1", NULL};
	static char long_host[600] = "http://";
	struct synicd_config config;
	struct synicd p, second;
	unsigned logged = 0;
	size_t i;

	memset(&config, 0, sizeof(config));
	config.id = "c1";
	config.profile = "tlfs";
	config.kind = "guest";
	config.clock = "virtual";
	config.vcpus = 2;
	config.options = "{\"disabled_write\":\"audit\"}";
	tell("create", synicd_create(&p, url, "vmbus", &config), &p);
	printf("id %s\n", p.id);
	tell("create again", synicd_create(&second, url, "vmbus", &config), &second);
	synicd_close(&second);
	config.options = "{";
	tell("bad options", synicd_create(&second, url, "vmbus", &config), &second);
	config.kind = "l1\"vh";
	tell("bad kind", synicd_create(&second, url, "vmbus", &config), &second);
	tell("open", synicd_open(&second, url, "c1", "mshv"), &second);
	synicd_close(&second);
	tell("open nobody", synicd_open(&second, url, "nobody", "mshv"), &second);
	tell("open a bad name", synicd_open(&second, url, "../c1", "mshv"), &second);
	tell("open as a bad name", synicd_open(&second, url, "c1", "a\"b"), &second);
	tell("open nowhere", synicd_open(&second, "http://127.0.0.1:1", "c1", "mshv"), &second);
	synicd_log_to(log_line, &logged);
	for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		if (synicd_open(&second, urls[i], "c1", "mshv") != SYNICD_REFUSED)
			printf("not refused: %s\n", urls[i]);
	memset(long_host + 7, 'h', sizeof(long_host) - 8);
	synicd_open(&second, long_host, "c1", "mshv");
	printf("%u sentences logged\n", logged);
	synicd_log_to(NULL, NULL);
	registers(&p);
	memory(&p);
	shadows(&p);
	interrupts(&p);
	hypercalls(&p);
	the_rest(&p);
	tell("delete", synicd_delete(&p), &p);
	tell("after delete", synicd_wrmsr(synicd_cpu(&p, 0), SIMP, 0), &p);
	synicd_close(&p);
	synicd_close(&p);
	return 0;
}

static int kvm(const char *url)
{
	struct synicd_config config;
	struct synicd p;
	uint64_t status;

	memset(&config, 0, sizeof(config));
	config.profile = "kvm-synic2";
	tell("create", synicd_create(&p, url, "vmbus", &config), &p);
	tell("signal_event", synicd_signal_event(synicd_cpu(&p, 0), 1, 0, &status), &p);
	tell("wrmsr SINT3", synicd_wrmsr(synicd_cpu(&p, 0), SINT2 + 1, 0xf), &p);
	synicd_close(&p);
	return 0;
}

/* The test does something to the server while this waits. */
static int paused(struct synicd *p)
{
	uint64_t value;
	char byte;

	tell("wrmsr", synicd_wrmsr(synicd_cpu(p, 0), SIMP, 0x10001), p);
	printf("paused\n");
	fflush(stdout);
	if (getchar() == EOF)
		return 2;
	tell("wrmsr", synicd_wrmsr(synicd_cpu(p, 0), SIMP, 0x20001), p);
	tell("rdmsr", synicd_rdmsr(synicd_cpu(p, 0), SIMP, &value), p);
	printf("value 0x%" PRIx64 "\n", value);
	tell("read", synicd_read(p, 0, &byte, 1), p);
	return 0;
}

static int one(struct synicd *p)
{
	uint64_t value;
	char byte = 0;

	p->timeout_ms = 300;
	tell("wrmsr", synicd_wrmsr(synicd_cpu(p, 0), SIMP, 0x10001), p);
	tell("rdmsr", synicd_rdmsr(synicd_cpu(p, 0), SIMP, &value), p);
	printf("value 0x%" PRIx64 "\n", value);
	tell("read", synicd_read(p, 0, &byte, 1), p);
	printf("byte %d\n", byte);
	tell("violations", (int)synicd_violations(p, NULL, 0), p);
	return 0;
}

int main(int count, char **arguments)
{
	struct synicd p;
	int outcome;

	if (count == 3 && strcmp(arguments[1], "all") == 0)
		return all(arguments[2]);
	if (count == 3 && strcmp(arguments[1], "kvm") == 0)
		return kvm(arguments[2]);
	if (count != 4)
		return 2;
	outcome = synicd_open(&p, arguments[2], arguments[3], "vmbus");
	tell("open", outcome, &p);
	if (outcome == 0)
		outcome = strcmp(arguments[1], "one") == 0 ? one(&p) : paused(&p);
	synicd_close(&p);
	return outcome == 0 ? 0 : 1;
}
