// SPDX-License-Identifier: GPL-2.0
/* The smallest module: whether the lab can build and load one. */
#include <linux/module.h>

static char *whom = "nobody";
module_param(whom, charp, 0444);

static int __init hello_init(void)
{
	pr_info("hello, %s\n", whom);
	return 0;
}

static void __exit hello_exit(void)
{
	pr_info("bye, %s\n", whom);
}

module_init(hello_init);
module_exit(hello_exit);
MODULE_DESCRIPTION("Says hello");
MODULE_LICENSE("GPL");
