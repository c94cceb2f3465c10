// SPDX-License-Identifier: GPL-2.0
/* TCP segments of IPv4 that are sent again, and those that the guest drops. */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/sock.h>

#include "vtrace.h"

#define RETRANSMIT	"tcp_retransmit_skb"
#define DROP		"kfree_skb"

/* Addresses and ports as they are on the wire. */
struct retransmit {
	__be32 saddr;
	__be32 daddr;
	u16 sport;
	__be16 dport;
	u8 state;
} __packed;

static const struct vtrace_class_field retransmit_fields[] = {
	{ "saddr", VTRACE_FIELD_INT, 4, VTRACE_FIELD_BE | VTRACE_FIELD_HEX, 0 },
	{ "daddr", VTRACE_FIELD_INT, 4, VTRACE_FIELD_BE | VTRACE_FIELD_HEX, 0 },
	VTRACE_CLASS_INT("sport", u16),
	VTRACE_CLASS_BE("dport", u16),
	/* 1: established, 2: SYN sent, .. */
	VTRACE_CLASS_INT("state", u8),
};

struct drop {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	u32 reason;
	u64 location;
} __packed;

static const struct vtrace_class_field drop_fields[] = {
	{ "saddr", VTRACE_FIELD_INT, 4, VTRACE_FIELD_BE | VTRACE_FIELD_HEX, 0 },
	{ "daddr", VTRACE_FIELD_INT, 4, VTRACE_FIELD_BE | VTRACE_FIELD_HEX, 0 },
	VTRACE_CLASS_BE("sport", u16),
	VTRACE_CLASS_BE("dport", u16),
	/* enum skb_drop_reason of the guest's kernel */
	VTRACE_CLASS_INT("reason", u32),
	VTRACE_CLASS_HEX("location", u64),
};

static int retransmit_id, drop_id;

static void retransmitted(void *data, const struct sock *sk,
			  const struct sk_buff *skb)
{
	struct retransmit payload = {
		.saddr = sk->sk_rcv_saddr,
		.daddr = sk->sk_daddr,
		.sport = sk->sk_num,
		.dport = sk->sk_dport,
		.state = sk->sk_state,
	};

	if (sk->sk_family == AF_INET)
		vtrace_write(VTRACE_CHANNEL_EVENTS, retransmit_id, &payload,
			     sizeof(payload));
}

/* Whatever has been parsed of it: only what its head holds is looked at. */
static void dropped(void *data, struct sk_buff *skb, void *location, u32 reason)
{
	const u8 *end = skb_tail_pointer(skb);
	const struct iphdr *ip = (const void *)skb_network_header(skb);
	const struct tcphdr *tcp;
	struct drop payload;

	if (skb->protocol != htons(ETH_P_IP) || (const u8 *)(ip + 1) > end ||
	    ip->version != 4 || ip->protocol != IPPROTO_TCP ||
	    ip->frag_off & htons(0x1fff))
		return;
	tcp = (const void *)((const u8 *)ip + ip->ihl * 4);
	if ((const u8 *)(tcp + 1) > end)
		return;
	payload = (struct drop){
		.saddr = ip->saddr,
		.daddr = ip->daddr,
		.sport = tcp->source,
		.dport = tcp->dest,
		.reason = reason,
		.location = (unsigned long)location,
	};
	vtrace_write(VTRACE_CHANNEL_EVENTS, drop_id, &payload, sizeof(payload));
}

static int __init tcp_loss_init(void)
{
	int err;

	retransmit_id = vtrace_class_describe("tcp_retransmit",
					      VTRACE_CHANNEL_EVENTS,
					      retransmit_fields,
					      ARRAY_SIZE(retransmit_fields));
	if (retransmit_id < 0)
		return retransmit_id;
	drop_id = vtrace_class_describe("tcp_drop", VTRACE_CHANNEL_EVENTS,
					drop_fields, ARRAY_SIZE(drop_fields));
	if (drop_id < 0) {
		err = drop_id;
		goto no_drop;
	}
	err = vtrace_attach(RETRANSMIT, retransmitted, NULL);
	if (err)
		goto no_retransmit;
	err = vtrace_attach(DROP, dropped, NULL);
	if (!err)
		return 0;

	vtrace_detach(RETRANSMIT, retransmitted, NULL);
no_retransmit:
	vtrace_class_unregister(drop_id);
no_drop:
	vtrace_class_unregister(retransmit_id);
	return err;
}

static void __exit tcp_loss_exit(void)
{
	vtrace_detach(DROP, dropped, NULL);
	vtrace_detach(RETRANSMIT, retransmitted, NULL);
	vtrace_class_unregister(drop_id);
	vtrace_class_unregister(retransmit_id);
}

module_init(tcp_loss_init);
module_exit(tcp_loss_exit);

MODULE_DESCRIPTION("TCP segments that are sent again, and those that are dropped");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
