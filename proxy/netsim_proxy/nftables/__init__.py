"""The nftables mode: the packets of kube-proxy, Services and endpoints in maps that one lookup answers."""
