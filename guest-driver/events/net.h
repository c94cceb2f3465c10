/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of network devices, with LTTng's names, fields and types, but for the
 * packet's headers, which LTTng has as variants. A table: vtrace_event.h says
 * what its words mean, and includes it for each meaning.
 */

TRACEPOINT(net_dev_xmit, net_dev_xmit,
	PROTO(struct sk_buff *skb, int rc, struct net_device *dev,
		unsigned int skb_len),
	ARGS(skb, rc, dev, skb_len),
	HEX(u64, skbaddr, (unsigned long)skb);
	FIELD(s32, rc, rc);
	FIELD(u32, len, skb_len);
	STRING(name, dev->name))

TRACEPOINT(net_dev_queue, net_dev_queue,
	PROTO(struct sk_buff *skb),
	ARGS(skb),
	HEX(u64, skbaddr, (unsigned long)skb);
	FIELD(u32, len, skb->len);
	STRING(name, skb->dev->name);
	ENUM(u8, network_header_type, vtrace_network_header(skb),
		LABEL("_unknown", VTRACE_NETWORK_UNKNOWN),
		LABEL("_ipv4", VTRACE_NETWORK_IPV4),
		LABEL("_ipv6", VTRACE_NETWORK_IPV6)))

TRACEPOINT(net_if_receive_skb, netif_receive_skb,
	PROTO(struct sk_buff *skb),
	ARGS(skb),
	HEX(u64, skbaddr, (unsigned long)skb);
	FIELD(u32, len, skb->len);
	STRING(name, skb->dev->name);
	ENUM(u8, network_header_type, vtrace_network_header(skb),
		LABEL("_unknown", VTRACE_NETWORK_UNKNOWN),
		LABEL("_ipv4", VTRACE_NETWORK_IPV4),
		LABEL("_ipv6", VTRACE_NETWORK_IPV6)))

TRACEPOINT(net_if_rx, netif_rx,
	PROTO(struct sk_buff *skb),
	ARGS(skb),
	HEX(u64, skbaddr, (unsigned long)skb);
	FIELD(u32, len, skb->len);
	STRING(name, skb->dev->name);
	ENUM(u8, network_header_type, vtrace_network_header(skb),
		LABEL("_unknown", VTRACE_NETWORK_UNKNOWN),
		LABEL("_ipv4", VTRACE_NETWORK_IPV4),
		LABEL("_ipv6", VTRACE_NETWORK_IPV6)))
