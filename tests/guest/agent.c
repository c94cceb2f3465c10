// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
/*
 * The guest's end of the lab: process 1 of a test guest. It runs shell
 * commands that the host sends over a virtio-serial port and returns what they
 * print and how they end. tests/src/agent.rs is the other end.
 *
 * A frame is four little-endian words (magic, job, kind, length) and the
 * payload. The greeting is a sequence of its own, so that the host finds it
 * behind half a frame of a guest that was reset while it wrote one.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME_MAGIC 0x464c5456u
#define MAX_JOBS 64
#define MAX_FRAME (1u << 20)

enum kind { RUN = 1, INPUT = 2, INPUT_END = 3, KILL = 4, OUT = 5, ERR = 6, EXIT = 7 };

struct frame {
	uint32_t magic, job, kind, len;
};

struct job {
	uint32_t id;
	pid_t pid;
	int in, out, err;
	char *pending;
	size_t pending_len;
	int input_ended;
};

static struct job jobs[MAX_JOBS];
static int port;

static void die(const char *what)
{
	fprintf(stderr, "lab-agent: %s: %s\n", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void put(const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(port, p, len);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			die("write to the port");
		p += n;
		len -= n;
	}
}

static void send_frame(uint32_t job, uint32_t kind, const void *data, uint32_t len)
{
	static char buf[sizeof(struct frame) + 65536];
	struct frame f = { FRAME_MAGIC, job, kind, len };

	memcpy(buf, &f, sizeof(f));
	memcpy(buf + sizeof(f), data, len);
	put(buf, sizeof(f) + len);
}

/* Never in this file as it stands: reading this program must not greet. */
static void greet(void)
{
	char hello[24];

	for (int i = 0; i < 24; i++)
		hello[i] = "vhost-trace lab agent up"[i] ^ 0x80;
	put(hello, sizeof(hello));
}

static int open_port(const char *wanted)
{
	for (int tries = 0; tries < 3000; tries++) {
		DIR *d = opendir("/sys/class/virtio-ports");
		struct dirent *e;

		while (d && (e = readdir(d))) {
			char path[512], name[64] = "";
			int fd;

			snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (read(fd, name, sizeof(name) - 1) < 0)
				name[0] = 0;
			close(fd);
			name[strcspn(name, "\n")] = 0;
			if (strcmp(name, wanted))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", e->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd >= 0) {
				closedir(d);
				return fd;
			}
		}
		if (d)
			closedir(d);
		/* The port's name arrives by a control message after the probe. */
		usleep(10000);
	}
	errno = ENODEV;
	die("no port of the lab");
	return -1;
}

static struct job *find(uint32_t id)
{
	for (int i = 0; i < MAX_JOBS; i++)
		if (jobs[i].pid && jobs[i].id == id)
			return &jobs[i];
	return NULL;
}

static void finish(uint32_t id, int status)
{
	int32_t code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

	send_frame(id, EXIT, &code, sizeof(code));
}

static void refuse(uint32_t id, const char *why)
{
	int32_t code = 127;

	send_frame(id, ERR, why, strlen(why));
	send_frame(id, EXIT, &code, sizeof(code));
}

static void start(uint32_t id, const char *command)
{
	int in[2], out[2], err[2];
	struct job *job = NULL;
	pid_t pid;

	for (int i = 0; i < MAX_JOBS && !job; i++)
		if (!jobs[i].pid)
			job = &jobs[i];
	if (!job) {
		refuse(id, "lab-agent: too many commands at once\n");
		return;
	}
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0) {
		close(in[0]), close(in[1]), close(out[0]);
		close(out[1]), close(err[0]), close(err[1]);
		refuse(id, "lab-agent: fork failed\n");
		return;
	}
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		setsid();
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(in[0]), close(out[1]), close(err[1]);
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	*job = (struct job){ .id = id, .pid = pid, .in = in[1], .out = out[0], .err = err[0] };
}

static void forward(struct job *job, int *fd, uint32_t kind)
{
	char buf[32768];

	while (*fd >= 0) {
		ssize_t n = read(*fd, buf, sizeof(buf));

		if (n > 0) {
			send_frame(job->id, kind, buf, n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		close(*fd);
		*fd = -1;
	}
}

static void feed(struct job *job)
{
	while (job->in >= 0 && job->pending_len) {
		ssize_t n = write(job->in, job->pending, job->pending_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			job->pending_len = 0;
			job->input_ended = 1;
			break;
		}
		memmove(job->pending, job->pending + n, job->pending_len - n);
		job->pending_len -= n;
	}
	if (job->in >= 0 && job->input_ended && !job->pending_len) {
		close(job->in);
		job->in = -1;
	}
}

static void handle(const struct frame *f, char *payload)
{
	struct job *job = find(f->job);

	switch (f->kind) {
	case RUN:
		payload[f->len] = 0;
		start(f->job, payload);
		break;
	case INPUT:
		if (!job)
			break;
		job->pending = realloc(job->pending, job->pending_len + f->len);
		if (!job->pending)
			die("out of memory");
		memcpy(job->pending + job->pending_len, payload, f->len);
		job->pending_len += f->len;
		feed(job);
		break;
	case INPUT_END:
		if (job) {
			job->input_ended = 1;
			feed(job);
		}
		break;
	case KILL:
		if (job)
			kill(-job->pid, SIGKILL);
		break;
	}
}

static void receive(void)
{
	static char buf[sizeof(struct frame) + MAX_FRAME + 1];
	static size_t have;
	ssize_t n = read(port, buf + have, sizeof(buf) - 1 - have);
	size_t at = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0)
		die("read from the port");
	have += n;
	while (have - at >= sizeof(struct frame)) {
		struct frame f;
		char saved;

		memcpy(&f, buf + at, sizeof(f));
		if (f.magic != FRAME_MAGIC || f.len > MAX_FRAME) {
			errno = EPROTO;
			die("frame");
		}
		if (have - at < sizeof(f) + f.len)
			break;
		/* RUN ends its text with a NUL where the next frame begins. */
		saved = buf[at + sizeof(f) + f.len];
		handle(&f, buf + at + sizeof(f));
		buf[at + sizeof(f) + f.len] = saved;
		at += sizeof(f) + f.len;
	}
	memmove(buf, buf + at, have - at);
	have -= at;
}

static void reap(int sigfd)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(sigfd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < MAX_JOBS; i++) {
			struct job *job = &jobs[i];

			if (job->pid != pid)
				continue;
			/* What is in the pipes now; a child left behind may hold them open. */
			forward(job, &job->out, OUT);
			forward(job, &job->err, ERR);
			finish(job->id, status);
			if (job->in >= 0)
				close(job->in);
			if (job->out >= 0)
				close(job->out);
			if (job->err >= 0)
				close(job->err);
			free(job->pending);
			memset(job, 0, sizeof(*job));
		}
	}
}

int main(int argc, char **argv)
{
	sigset_t set;
	int sigfd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		die("signalfd");
	port = open_port(argc > 1 ? argv[1] : "lab");
	greet();
	for (;;) {
		struct pollfd p[2 + 3 * MAX_JOBS];
		struct job *of[2 + 3 * MAX_JOBS];
		int n = 0;

		p[n++] = (struct pollfd){ .fd = port, .events = POLLIN };
		p[n++] = (struct pollfd){ .fd = sigfd, .events = POLLIN };
		for (int i = 0; i < MAX_JOBS; i++) {
			struct job *job = &jobs[i];

			if (!job->pid)
				continue;
			of[n] = job;
			p[n++] = (struct pollfd){ .fd = job->out, .events = POLLIN };
			of[n] = job;
			p[n++] = (struct pollfd){ .fd = job->err, .events = POLLIN };
			of[n] = job;
			p[n++] = (struct pollfd){ .fd = job->pending_len ? job->in : -1,
						  .events = POLLOUT };
		}
		if (poll(p, n, -1) < 0) {
			if (errno == EINTR)
				continue;
			die("poll");
		}
		for (int i = 2; i < n; i++) {
			if (!p[i].revents)
				continue;
			if (p[i].fd == of[i]->out)
				forward(of[i], &of[i]->out, OUT);
			else if (p[i].fd == of[i]->err)
				forward(of[i], &of[i]->err, ERR);
			else
				feed(of[i]);
		}
		if (p[1].revents)
			reap(sigfd);
		if (p[0].revents)
			receive();
	}
}
