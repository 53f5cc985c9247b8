"""The overlay between nodes: each has a VXLAN interface (VTEP), and knows the others' from their Nodes' annotations."""
