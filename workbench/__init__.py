"""A workbench for lightweight super-resolution: a variant under a protocol gives records; records fill tables."""
