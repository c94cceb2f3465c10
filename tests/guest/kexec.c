// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
/*
 * Another kernel without a reset of the machine.
 *
 *   kexec load KERNEL INITRD CMDLINE    for `kexec exec`
 *   kexec crash KERNEL INITRD CMDLINE   for when this kernel panics
 *   kexec exec                          starts it
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RB_KEXEC	0x45584543

static void fail(const char *what)
{
	fprintf(stderr, "kexec: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int must_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	return fd;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned long flags = strcmp(what, "crash") ? 0 : KEXEC_FILE_ON_CRASH;

	if (argc == 2 && !strcmp(what, "exec")) {
		sync();
		reboot(RB_KEXEC);
		fail("exec");
	}
	if (argc != 5 || (strcmp(what, "load") && !flags)) {
		fprintf(stderr, "usage: kexec load|crash KERNEL INITRD CMDLINE | exec\n");
		return 2;
	}
	if (syscall(SYS_kexec_file_load, must_open(argv[2]), must_open(argv[3]),
		    strlen(argv[4]) + 1, argv[4], flags))
		fail(what);
	return 0;
}
