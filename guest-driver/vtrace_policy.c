// SPDX-License-Identifier: GPL-2.0
/* What the guest's administrator allows the device to have done. */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/string.h>

#include "vtrace_driver.h"

static const char * const classes[] = { "native", "probes", "modules" };

static u32 allowed = VTRACE_ALLOW_NATIVE | VTRACE_ALLOW_PROBES;

static int set_allow(const char *value, const struct kernel_param *kp)
{
	u32 wanted = 0;
	size_t bytes;
	int i;

	for (; *value && *value != '\n'; value += bytes + (value[bytes] == ',')) {
		bytes = strcspn(value, ",\n");
		for (i = 0; i < ARRAY_SIZE(classes); i++)
			if (strlen(classes[i]) == bytes &&
			    !strncmp(classes[i], value, bytes))
				break;
		if (i == ARRAY_SIZE(classes))
			return -EINVAL;
		wanted |= 1u << i;
	}
	allowed = wanted;
	return 0;
}

static int write_allowed(char *text, size_t room)
{
	size_t at = 0;
	int i;

	text[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(classes); i++)
		if (allowed & (1u << i))
			at += scnprintf(text + at, room - at, "%s%s",
					at ? "," : "", classes[i]);
	return at;
}

static int get_allow(char *text, const struct kernel_param *kp)
{
	return write_allowed(text, PAGE_SIZE);
}

static const struct kernel_param_ops allow_ops = {
	.set = set_allow,
	.get = get_allow,
};
/* Fixed while the driver is loaded: it has told the device. */
module_param_cb(allow, &allow_ops, NULL, 0444);
MODULE_PARM_DESC(allow, "what the host may do: any of native,probes,modules (native,probes)");

static unsigned int upload_limit = 16 << 20;
module_param(upload_limit, uint, 0444);
MODULE_PARM_DESC(upload_limit, "bytes of memory for what the host uploads (16 MiB)");

u32 vtrace_upload_limit(void)
{
	return min_t(u32, upload_limit, VTRACE_MAX_UPLOAD);
}

static u32 class_of(u32 command)
{
	switch (command) {
	case VTRACE_CMD_ENABLE:
	case VTRACE_CMD_FILTER:
	case VTRACE_CMD_STATEDUMP:
		return VTRACE_ALLOW_NATIVE;
	case VTRACE_CMD_PROBE_ADD:
		return VTRACE_ALLOW_PROBES;
	case VTRACE_CMD_UPLOAD:
	case VTRACE_CMD_UPLOAD_CANCEL:
	case VTRACE_CMD_MODULE_LOAD:
	case VTRACE_CMD_MODULE_UNLOAD:
	case VTRACE_CMD_MODULE_LIST:
		return VTRACE_ALLOW_MODULES;
	default:
		/* What takes something back is always allowed. */
		return 0;
	}
}

/* 0, or -EPERM and why. */
int vtrace_policy_check(u32 command, char *text)
{
	u32 class = class_of(command);
	char now[64];

	if (!(class & ~allowed))
		return 0;
	write_allowed(now, sizeof(now));
	scnprintf(text, VTRACE_MAX_REASON,
		  "the guest does not allow %s to its host: parameter allow=%s of virtio_trace",
		  classes[ffs(class) - 1], now);
	return -EPERM;
}

/* Returns what vtrace_request() does. */
int vtrace_policy_send(struct vtrace_device *dev)
{
	struct vtrace_policy policy = {
		.allow = allowed,
		.upload_limit = vtrace_upload_limit(),
	};

	return vtrace_request(dev, VTRACE_REQ_POLICY, &policy, sizeof(policy),
			      NULL);
}
