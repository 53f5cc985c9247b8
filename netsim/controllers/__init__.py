"""The controllers: each a pure reconcile over cached objects, driven by one loop, writing through one door."""
