"""Cosmos-Embed1: the network, its weights, the published implementation beside it, the exporter."""
