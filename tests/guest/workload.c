// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
/*
 * Work for a traced guest that counts itself: what the trace must agree with
 * is printed here, in a last line `workload NAME calls=N`.
 *
 *   workload [--mark] getppid N        N getppid calls
 *   workload [--mark] openat N PATH    N openat calls (each descriptor closed)
 *   workload [--mark] ctxsw N          N bytes to and fro between two tasks
 *   workload [--mark] fork N           N children that exit at once
 *   workload [--mark] paced RATE N     N getppid calls, RATE in a second
 *   workload [--mark] call NUMBER N    N calls of a number, all arguments 0
 *   workload [--mark] copy N FROM TO   N blocks of 4 KiB, each read, written
 *                                      and synchronised
 *
 * With --mark the loop stands between two instructions that do nothing, for a
 * TCG plugin to see: nopl 0x4d545601(%rax,%rax,1), and ...02 behind it.
 * With --wait before all this it reads a byte of its input first; with --thread
 * behind that, a second thread does the work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARK(nn) __asm__ volatile("nopl 0x4d5456" nn "(%%rax,%%rax,1)" ::: "memory")

static int marking;

static void begin(void)
{
	if (marking)
		MARK("01");
}

static void end(void)
{
	if (marking)
		MARK("02");
}

static void fail(const char *what)
{
	fprintf(stderr, "workload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long number(const char *text)
{
	char *rest;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &rest, 0);
	if (errno || *rest || !*text) {
		fprintf(stderr, "workload: not a number: %s\n", text);
		exit(2);
	}
	return n;
}

static unsigned long getppid_calls(unsigned long n)
{
	unsigned long calls = 0;

	begin();
	for (; calls < n; calls++)
		syscall(SYS_getppid);
	end();
	return calls;
}

static unsigned long openat_calls(unsigned long n, const char *path)
{
	unsigned long calls = 0;

	begin();
	while (calls < n) {
		long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);

		calls++;
		if (fd >= 0)
			syscall(SYS_close, fd);
	}
	end();
	return calls;
}

static unsigned long ctxsw_calls(unsigned long n)
{
	int there[2], back[2];
	unsigned long calls = 0;
	pid_t child;
	char byte = 0;

	if (pipe(there) || pipe(back))
		fail("pipe");
	child = fork();
	if (child < 0)
		fail("fork");
	if (!child) {
		close(there[1]);
		close(back[0]);
		while (read(there[0], &byte, 1) == 1)
			if (write(back[1], &byte, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	begin();
	for (; calls < n; calls++) {
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			fail("pipe");
	}
	end();
	close(there[1]);
	if (waitpid(child, NULL, 0) != child)
		fail("waitpid");
	return calls;
}

static unsigned long fork_calls(unsigned long n)
{
	unsigned long calls = 0;

	begin();
	while (calls < n) {
		pid_t child = fork();

		if (child < 0)
			fail("fork");
		if (!child)
			_exit(0);
		calls++;
		if (waitpid(child, NULL, 0) != child)
			fail("waitpid");
	}
	end();
	return calls;
}

static unsigned long paced_calls(unsigned long rate, unsigned long n)
{
	struct timespec next;
	unsigned long calls = 0;
	/* A sleep for each call where the rate allows, groups of calls beyond. */
	unsigned long group = rate > 1000 ? rate / 1000 : 1;

	if (!rate) {
		fprintf(stderr, "workload: a rate of 0\n");
		exit(2);
	}
	clock_gettime(CLOCK_MONOTONIC, &next);
	begin();
	while (calls < n) {
		unsigned long long ns;

		for (unsigned long i = 0; i < group && calls < n; i++, calls++)
			syscall(SYS_getppid);
		ns = next.tv_nsec + group * 1000000000ull / rate;
		next.tv_sec += ns / 1000000000ull;
		next.tv_nsec = ns % 1000000000ull;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
	}
	end();
	return calls;
}

static unsigned long any_calls(long nr, unsigned long n)
{
	unsigned long calls = 0;

	begin();
	for (; calls < n; calls++)
		syscall(nr, 0, 0, 0, 0, 0, 0);
	end();
	return calls;
}

static unsigned long copy_calls(unsigned long n, const char *from, const char *to)
{
	static char block[4096];
	unsigned long calls = 0;
	int in = open(from, O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT, 0600);

	if (in < 0 || out < 0)
		fail("open");
	begin();
	for (; calls < n; calls++) {
		if (read(in, block, sizeof(block)) != sizeof(block))
			fail("read");
		if (write(out, block, sizeof(block)) != sizeof(block) || fsync(out))
			fail("write");
	}
	end();
	close(in);
	close(out);
	return calls;
}

static void usage(void)
{
	fprintf(stderr, "usage: workload [--wait] [--thread] [--mark] getppid N | openat N PATH | ctxsw N | fork N | "
			"paced RATE N | call NUMBER N | copy N FROM TO\n");
	exit(2);
}

static int work(int argc, char **argv)
{
	unsigned long calls;
	const char *name;

	if (argc > 1 && !strcmp(argv[1], "--mark")) {
		marking = 1;
		argc--;
		argv++;
	}
	if (argc < 3)
		usage();
	name = argv[1];
	if (!strcmp(name, "getppid") && argc == 3)
		calls = getppid_calls(number(argv[2]));
	else if (!strcmp(name, "openat") && argc == 4)
		calls = openat_calls(number(argv[2]), argv[3]);
	else if (!strcmp(name, "ctxsw") && argc == 3)
		calls = ctxsw_calls(number(argv[2]));
	else if (!strcmp(name, "fork") && argc == 3)
		calls = fork_calls(number(argv[2]));
	else if (!strcmp(name, "paced") && argc == 4)
		calls = paced_calls(number(argv[2]), number(argv[3]));
	else if (!strcmp(name, "call") && argc == 4)
		calls = any_calls(number(argv[2]), number(argv[3]));
	else if (!strcmp(name, "copy") && argc == 5)
		calls = copy_calls(number(argv[2]), argv[3], argv[4]);
	else
		usage();
	printf("workload %s calls=%lu\n", name, calls);
	return fflush(stdout) ? 1 : 0;
}

struct thread {
	int argc;
	char **argv;
	int status;
};

static void *run(void *data)
{
	struct thread *t = data;

	t->status = work(t->argc, t->argv);
	return NULL;
}

int main(int argc, char **argv)
{
	struct thread t;
	pthread_t id;
	char byte;

	if (argc > 1 && !strcmp(argv[1], "--wait")) {
		if (read(0, &byte, 1) != 1)
			fail("read");
		argc--;
		argv++;
	}
	if (argc < 2 || strcmp(argv[1], "--thread"))
		return work(argc, argv);
	t.argc = argc - 1;
	t.argv = argv + 1;
	errno = pthread_create(&id, NULL, run, &t);
	if (errno)
		fail("pthread_create");
	pthread_join(id, NULL);
	return t.status;
}
