"""How a client speaks with gateways: gRPC over mutual TLS."""

import os

# gRPC's core writes to stderr by itself, before any of our code sees the error that it raises.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
