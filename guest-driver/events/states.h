/* SPDX-License-Identifier: GPL-2.0 */
/* All tables of the state dump, in the order of their ids. */
#include "events/statedump.h"
#include "events/state_files.h"
#include "events/state_devices.h"
