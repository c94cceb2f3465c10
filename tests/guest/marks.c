// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
/*
 * Known numbers of instructions between marks, for the test of the plugin that
 * counts them: N rounds of 5 (4 nops and a jump), N = 0 to 3000 by 1000, in a
 * function whose address is printed.
 */
#include <stdio.h>

__attribute__((noinline)) static void rounds(long n)
{
	__asm__ volatile(
		"	nopl 0x4d545601(%%rax,%%rax,1)\n"
		"	test %0, %0\n"
		"	jz 2f\n"
		"1:	nop\n"
		"	nop\n"
		"	nop\n"
		"	dec %0\n"
		"	jnz 1b\n"
		"2:	nopl 0x4d545602(%%rax,%%rax,1)\n"
		: "+r"(n) : : "memory", "cc");
}

int main(void)
{
	printf("marks rounds=%lx\n", (unsigned long)rounds);
	for (long n = 0; n <= 3000; n += 1000)
		rounds(n);
	return 0;
}
