"""The control plane: messages, transport, who takes part; and the simulated air as a service."""
