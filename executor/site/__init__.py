"""A site: a folder served to clients, its files read and written by stateless workers."""
