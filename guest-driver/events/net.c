// SPDX-License-Identifier: GPL-2.0
/* Events of network devices: their handlers. */
#include <linux/if_ether.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <trace/events/net.h>

#include "vtrace_event.h"
#include "vtrace_writer.h"

static __always_inline u8 vtrace_network_header(const struct sk_buff *skb)
{
	/* Where none has been set. */
	if (skb_network_header(skb) == skb->head)
		return VTRACE_NETWORK_UNKNOWN;
	if (skb->protocol == htons(ETH_P_IP))
		return VTRACE_NETWORK_IPV4;
	if (skb->protocol == htons(ETH_P_IPV6))
		return VTRACE_NETWORK_IPV6;
	return VTRACE_NETWORK_UNKNOWN;
}

#define VTRACE_TABLE	"events/net.h"
#define VTRACE_PROBES	vtrace_net_probes
#include "events/handle.h"
