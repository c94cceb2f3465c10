// SPDX-License-Identifier: GPL-2.0
/* A module that makes trouble when it is loaded, if it is told to. */
#include <linux/completion.h>
#include <linux/kernel.h>
#include <linux/module.h>

static int error;
module_param(error, int, 0444);
MODULE_PARM_DESC(error, "of init");

static bool hang;
module_param(hang, bool, 0444);
MODULE_PARM_DESC(hang, "in init, until go is written");

static bool die;
module_param(die, bool, 0444);
MODULE_PARM_DESC(die, "in init, the whole guest");

static DECLARE_COMPLETION(go_on);

static int set_go(const char *value, const struct kernel_param *kp)
{
	complete(&go_on);
	return 0;
}

static const struct kernel_param_ops go_ops = { .set = set_go };
module_param_cb(go, &go_ops, NULL, 0200);
MODULE_PARM_DESC(go, "let init end");

static int __init trouble_init(void)
{
	if (die)
		panic("vt_trouble: as it was told");
	if (hang)
		wait_for_completion(&go_on);
	if (error)
		pr_err("vt_trouble: init fails with %d\n", error);
	return -error;
}

static void __exit trouble_exit(void)
{
}

module_init(trouble_init);
module_exit(trouble_exit);

MODULE_DESCRIPTION("Makes trouble");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
