"""Scripts that remake the adapters that ship."""
