// SPDX-License-Identifier: GPL-2.0
/*
 * Probe modules that come from the device: loaded and unloaded by the helper,
 * so that the kernel decides as it does for the guest's own root.
 *
 * A module's init function may hang. So it has a thread of its own, which keeps
 * the driver loaded; the session may end meanwhile, and then nobody is told.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/unistd.h>

#include "vtrace_driver.h"
#include "vtrace_job.h"

/* Names that are remembered; with a name's length it bounds a list's answers. */
#define MAX_MODULES	64

struct task {
	struct vtrace_job job;
	bool load;
	u32 seq;			/* of the command */
	u64 session;
	char name[MODULE_NAME_LEN];
	struct vtrace_done done;
	char text[VTRACE_MAX_REASON];	/* right behind done: they are sent as one */
};

static DEFINE_MUTEX(run_lock);
static struct task *running;
static struct vtrace_device *device;	/* to answer to */
static u64 session;

static DEFINE_MUTEX(names_lock);
static char names[MAX_MODULES][MODULE_NAME_LEN];
static unsigned int num_names;
static char last_name[MODULE_NAME_LEN];

/* Which modules came from the device. */

static int find_name(const char *name)
{
	int i;

	for (i = 0; i < num_names; i++)
		if (!strcmp(names[i], name))
			return i;
	return -ENOENT;
}

/* In the helper's own context, if it is its module. */
static int module_changed(struct notifier_block *nb, unsigned long state,
			  void *data)
{
	struct module *module = data;
	int at;

	mutex_lock(&names_lock);
	at = find_name(module->name);
	if (state == MODULE_STATE_LIVE && vtrace_job_is_helper() &&
	    num_names < MAX_MODULES && at < 0) {
		strscpy(names[num_names++], module->name, MODULE_NAME_LEN);
		strscpy(last_name, module->name, MODULE_NAME_LEN);
	} else if (state == MODULE_STATE_GOING && at >= 0) {
		num_names--;
		memmove(names[at], names[at + 1],
			(num_names - at) * sizeof(names[0]));
	}
	mutex_unlock(&names_lock);
	return NOTIFY_OK;
}

static struct notifier_block notifier = { .notifier_call = module_changed };

int vtrace_modules_init(void)
{
	return register_module_notifier(&notifier);
}

void vtrace_modules_release(void)
{
	unregister_module_notifier(&notifier);
}

/* Names from a number on, a line each, as many as a text has room for. */
int vtrace_module_list(const void *payload, u32 bytes, char *text)
{
	const struct vtrace_module_list *list = payload;
	size_t at = 0;
	u32 i;

	if (bytes != sizeof(*list) || list->reserved)
		return -EINVAL;
	mutex_lock(&names_lock);
	for (i = list->first; i < num_names; i++) {
		if (at + strlen(names[i]) + 2 > VTRACE_MAX_REASON)
			break;
		at += scnprintf(text + at, VTRACE_MAX_REASON - at, "%s%s",
				at ? "\n" : "", names[i]);
	}
	mutex_unlock(&names_lock);
	return 0;
}

/* The thread. */

/* Where the kernel has printed nothing. */
static const char *reason(const struct task *task, int error)
{
	switch (error) {
	case EPERM:
		return "the guest's kernel takes no modules (kernel.modules_disabled is 1, or a security module says no)";
	case EEXIST:
		return "a module of this name is loaded already";
	case EBUSY:
		return task->load ? "the guest is about to sleep, or the module's own init was busy" :
			"the module is still on its way in or out";
	case EAGAIN:
		return "the module is in use";
	case ECANCELED:
		return "the kernel has not run the helper (CONFIG_STATIC_USERMODEHELPER, perhaps)";
	case EINTR:
		return "the helper was killed";
	case ENOMEM:
		return "the guest has no memory for it";
	default:
		return task->load ? "the module's init has failed" :
			"the kernel does not unload it";
	}
}

static void conclude(struct task *task, int ret)
{
	int error = ret < 0 ? -ret : 0;
	const char *said = task->job.said;

	task->done.seq = task->seq;
	task->done.error = error;
	if (error) {
		scnprintf(task->text, sizeof(task->text), "%s",
			  *said ? said : reason(task, error));
	} else {
		mutex_lock(&names_lock);
		strscpy(task->text, task->load ? last_name : task->name,
			sizeof(task->text));
		mutex_unlock(&names_lock);
	}
}

static int run(void *data)
{
	struct task *task = data;

	conclude(task, vtrace_job_run(&task->job));
	mutex_lock(&run_lock);
	running = NULL;
	if (device && session == task->session)
		vtrace_request(device, VTRACE_REQ_DONE, &task->done,
			       sizeof(task->done) + strlen(task->text), NULL);
	mutex_unlock(&run_lock);
	vtrace_job_release(&task->job);
	kfree(task);
	/* The last of the driver's code that this thread executes. */
	module_put_and_kthread_exit(0);
}

static int start(struct task *task)
{
	struct task_struct *thread;

	if (!try_module_get(THIS_MODULE))
		return -EBUSY;
	mutex_lock(&run_lock);
	task->session = session;
	running = task;
	mutex_unlock(&run_lock);
	thread = kthread_run(run, task, "vtrace_module");
	if (!IS_ERR(thread))
		return -EINPROGRESS;
	mutex_lock(&run_lock);
	running = NULL;
	mutex_unlock(&run_lock);
	module_put(THIS_MODULE);
	return PTR_ERR(thread);
}

static struct task *make(u32 seq, bool load, char *text)
{
	struct task *task;
	bool busy, full;

	mutex_lock(&run_lock);
	busy = running;
	mutex_unlock(&run_lock);
	mutex_lock(&names_lock);
	full = num_names == MAX_MODULES;
	mutex_unlock(&names_lock);
	if (busy) {
		scnprintf(text, VTRACE_MAX_REASON,
			  "another module is still being loaded or unloaded");
		return ERR_PTR(-EBUSY);
	}
	if (load && full) {
		scnprintf(text, VTRACE_MAX_REASON,
			  "%u modules of the host are loaded already", MAX_MODULES);
		return ERR_PTR(-ENOSPC);
	}
	task = kzalloc(sizeof(*task), GFP_KERNEL);
	if (!task)
		return ERR_PTR(-ENOMEM);
	task->seq = seq;
	task->load = load;
	return task;
}

/* The commands: -EINPROGRESS says that they are answered when they are done. */

static int begin(struct task *task, int ret)
{
	if (!ret)
		ret = start(task);
	if (ret != -EINPROGRESS) {
		vtrace_job_release(&task->job);
		kfree(task);
	}
	return ret;
}

int vtrace_module_load(u32 seq, const void *payload, u32 bytes, char *text)
{
	const struct vtrace_blob *head = payload;
	const char *parameters = (const char *)(head + 1);
	struct vfsmount *folder;
	struct task *task;
	u64 name, values;
	size_t length;
	int ret;

	if (bytes < sizeof(*head) || head->reserved)
		return -EINVAL;
	length = bytes - sizeof(*head);
	if (memchr(parameters, '\0', length)) {
		scnprintf(text, VTRACE_MAX_REASON, "parameters have a NUL");
		return -EINVAL;
	}
	task = make(seq, true, text);
	if (IS_ERR(task)) {
		/* The device will not come back for it. */
		vtrace_upload_drop();
		return PTR_ERR(task);
	}
	folder = vtrace_upload_claim(head->blob, text);
	if (IS_ERR(folder)) {
		kfree(task);
		return PTR_ERR(folder);
	}
	ret = vtrace_job_init(&task->job, folder);
	if (!ret) {
		name = vtrace_job_text(&task->job, VTRACE_UPLOAD_FILE,
				       strlen(VTRACE_UPLOAD_FILE));
		values = vtrace_job_text(&task->job, parameters, length);
		if (!name || !values)
			ret = -E2BIG;
	}
	if (!ret) {
		vtrace_job_call(&task->job, __NR_open, name, O_RDONLY, 0);
		vtrace_job_call(&task->job, __NR_finit_module, VTRACE_FIRST_FD,
				values, 0);
	}
	return begin(task, ret);
}

int vtrace_module_unload(u32 seq, const void *payload, u32 bytes, char *text)
{
	struct task *task;
	u64 name;
	bool known;
	int ret;

	if (!bytes || bytes >= MODULE_NAME_LEN || memchr(payload, '\0', bytes)) {
		scnprintf(text, VTRACE_MAX_REASON, "that is no module's name");
		return -EINVAL;
	}
	task = make(seq, false, text);
	if (IS_ERR(task))
		return PTR_ERR(task);
	memcpy(task->name, payload, bytes);
	mutex_lock(&names_lock);
	known = find_name(task->name) >= 0;
	mutex_unlock(&names_lock);
	if (!known) {
		scnprintf(text, VTRACE_MAX_REASON,
			  "no module of this name was loaded by the host");
		kfree(task);
		return -ENOENT;
	}
	ret = vtrace_job_init(&task->job, NULL);
	if (!ret) {
		name = vtrace_job_text(&task->job, task->name, bytes);
		vtrace_job_call(&task->job, __NR_delete_module, name,
				O_NONBLOCK, 0);
	}
	return begin(task, ret);
}

/* From now on this device is answered. */
void vtrace_modules_start(struct vtrace_device *dev)
{
	mutex_lock(&run_lock);
	device = dev;
	session++;
	mutex_unlock(&run_lock);
}

/* Commands have been stopped. What still runs has nobody to answer to. */
void vtrace_modules_stop(void)
{
	mutex_lock(&run_lock);
	device = NULL;
	mutex_unlock(&run_lock);
	vtrace_upload_drop();
}
