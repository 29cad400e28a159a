"""Plug-ins for EdgeSpiral, one of each kind. docs/plugins.md explains them."""
